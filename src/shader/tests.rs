//! Every variant joined, validated with the capabilities it declares, and written by naga's back ends.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::dtype::Dtype;
use crate::plan::Traits;
use crate::rows::Rows;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn slots(all: &[Slot]) -> Slots {
    all.iter().copied().collect()
}

/// Kernels of rows with everything off, and with everything on that goes together.
fn specs() -> Vec<RowSpec> {
    let plain = RowSpec {
        op: RowOp::Softmax {
            log: false,
            gradient: false,
        },
        storage: Storage::default(),
        place: Place::Apart,
        needs: Needs::Sums,
        shaping: Shaping::default(),
        slots: slots(&[]),
    };
    let softcap = Shaping {
        is_shaped: true,
        softcap: true,
        ..Shaping::default()
    };
    let shaped = [Slot::Mask, Slot::Bias, Slot::RowScale];
    let outputs = [
        Slot::Targets,
        Slot::Factor,
        Slot::Loss,
        Slot::Lse,
        Slot::ZLoss,
        Slot::LogProb,
        Slot::Entropy,
        Slot::Argmax,
    ];
    let every = CrossEntropyOp {
        nll: false,
        share: true,
        dense: true,
        z_loss: true,
        entropy: true,
    };
    let cross_entropy = RowSpec {
        op: RowOp::CrossEntropy(CrossEntropyOp::default()),
        slots: slots(&[Slot::Targets, Slot::Factor, Slot::Loss]),
        ..plain
    };
    vec![
        plain,
        RowSpec {
            op: RowOp::Softmax {
                log: true,
                gradient: false,
            },
            shaping: Shaping { mask: 3, ..softcap },
            slots: slots(&shaped),
            ..plain
        },
        RowSpec {
            op: RowOp::Softmax {
                log: false,
                gradient: true,
            },
            needs: Needs::SavedLse,
            shaping: Shaping { mask: 1, ..softcap },
            slots: slots(&[Slot::SavedLse, Slot::Factor]),
            ..plain
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: true },
            slots: slots(&[Slot::Other]),
            ..plain
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: false },
            shaping: Shaping {
                is_slope: true,
                ..softcap
            },
            slots: slots(&[Slot::Other, Slot::Third, Slot::Bias, Slot::RowScale]),
            ..plain
        },
        cross_entropy,
        RowSpec {
            op: RowOp::CrossEntropy(every),
            shaping: Shaping { mask: 2, ..softcap },
            slots: outputs.into_iter().chain(shaped).chain([Slot::Weights]).collect(),
            ..plain
        },
        RowSpec {
            op: RowOp::CrossEntropy(every),
            slots: slots(&[Slot::Other, Slot::Factor, Slot::Weights]),
            ..plain
        },
        RowSpec {
            op: RowOp::CrossEntropy(CrossEntropyOp {
                share: true,
                ..CrossEntropyOp::default()
            }),
            needs: Needs::SavedLse,
            slots: slots(&[Slot::Targets, Slot::Factor, Slot::Weights, Slot::SavedLse]),
            ..plain
        },
        RowSpec {
            op: RowOp::CrossEntropy(CrossEntropyOp {
                nll: true,
                ..CrossEntropyOp::default()
            }),
            needs: Needs::Nothing,
            ..cross_entropy
        },
        RowSpec {
            op: RowOp::Binary { weight: 0 },
            needs: Needs::Nothing,
            slots: slots(&[Slot::Other, Slot::Loss, Slot::Factor]),
            ..plain
        },
        RowSpec {
            op: RowOp::Binary { weight: 3 },
            needs: Needs::Nothing,
            slots: slots(&[Slot::Other, Slot::Loss, Slot::Mask, Slot::PosWeights, Slot::Factor]),
            ..plain
        },
    ]
}

/// Every operation, in every storage, place and schedule, in both families of reduction.
fn all() -> Vec<Variant> {
    let mut all = vec![Variant::COUNT_CORRECT, Variant::JACOBIAN, Variant::reduce(None)];
    for flag in [false, true] {
        let end = End {
            word: 0,
            mean: flag,
            z_loss: flag,
        };
        all.extend([Variant::reduce(Some(end)), Variant::targets(flag)]);
        all.extend([0, 1, 2, 3].map(|mean| Variant::settle(mean, flag && mean == 1, flag)));
    }
    let info = wgpu::AdapterInfo {
        subgroup_min_size: 8,
        ..wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan)
    };
    let mixed = Storage {
        logits: Dtype::Bf16,
        result: Dtype::F32,
    };
    for subgroups in [false, true] {
        let traits = Traits::new(&info, &wgpu::Limits::default(), subgroups);
        let held = [1, 2, 4, 8, 16, 32].map(|held| (held * 32, Schedule::Held { lanes: 8 }));
        let long = [
            (3000, Schedule::Held { lanes: 8 }),
            (3000, Schedule::Chunked { lanes: 64 }),
            (3000, Schedule::Split { lanes: 8, pieces: 3 }),
        ];
        for (i, (classes, schedule)) in held.into_iter().chain(long).enumerate() {
            for spec in specs() {
                let words = spec.span_words() as usize;
                let plan = Plan::new(&Rows::new(4, classes), &traits, words, false, Some(schedule)).unwrap();
                // The types in turn, so that each meets every operation.
                let types = [
                    Storage::default(),
                    Storage::all(Dtype::F16),
                    Storage::all(Dtype::Bf16),
                    mixed,
                ];
                let storage = if spec.place == Place::Apart {
                    types[i % 4]
                } else {
                    types[0]
                };
                for access in [Access::Singles, Access::Pairs, Access::Quads] {
                    for place in [Place::Apart, Place::InPlace, Place::None] {
                        let storage = if place == Place::InPlace { types[i % 3] } else { storage };
                        let spec = RowSpec { storage, place, ..spec };
                        all.push(Variant::row(spec, access, false, &plan));
                    }
                    if matches!(schedule, Schedule::Split { .. }) && spec.needs == Needs::Sums {
                        all.push(Variant::row(spec, access, true, &plan));
                    }
                }
            }
        }
    }
    all
}

impl Variant {
    fn uses_subgroups(&self) -> bool {
        self.fragments().iter().any(|f| f.path == "reduce/subgroup.wgsl")
    }
}

fn parsed(variant: &Variant) -> (naga::Module, ModuleInfo) {
    let source = variant.source();
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{variant}: {}", variant.located(&e.emit_to_string(&source))));
    let capabilities = if variant.uses_subgroups() {
        Capabilities::SUBGROUP
    } else {
        Capabilities::empty()
    };
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    if variant.uses_subgroups() {
        validator
            .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
            .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    }
    let info = validator
        .validate(&module)
        .unwrap_or_else(|e| panic!("{variant}: {}", e.emit_to_string(&source)));
    let constants = variant
        .constants()
        .into_iter()
        .map(|(name, value)| (name.to_string(), f64::from(value)))
        .collect();
    let stage = Some((naga::ShaderStage::Compute, "main"));
    let (module, info) =
        process_overrides(&module, &info, stage, &constants).unwrap_or_else(|e| panic!("{variant}: {e}"));
    (module.into_owned(), info.into_owned())
}

/// A variant for other compilers to read: as WGSL, below a line of its constants, as SPIR-V and as HLSL.
fn write_to(folder: &Path, number: usize, variant: &Variant, spirv: &[u32], hlsl: &str) {
    let constants: BTreeMap<_, _> = variant.constants().into_iter().collect();
    let enable = if variant.uses_subgroups() {
        "enable subgroups;\n"
    } else {
        ""
    };
    let constants = serde_json::to_string(&constants).unwrap();
    let wgsl = format!("// {constants}\n{enable}// {variant}\n{}", variant.source());
    let path = |extension| folder.join(format!("{number:04}.{extension}"));
    std::fs::write(path("wgsl"), wgsl).unwrap();
    std::fs::write(path("spv"), bytemuck::cast_slice(spirv)).unwrap();
    std::fs::write(path("hlsl"), format!("// {variant}\n{hlsl}")).unwrap();
}

#[test]
fn every_variant_is_valid_and_every_back_end_writes_it() {
    let all = all();
    // `cargo xtask` sets it.
    let folder = std::env::var_os("VARIANTS_FOLDER").map(PathBuf::from);
    for (number, variant) in all.iter().enumerate() {
        let (module, info) = parsed(variant);
        let words = spv::write_vec(
            &module,
            &info,
            &spv::Options {
                lang_version: (1, 3),
                // As wgpu has them.
                bounds_check_policies: BoundsCheckPolicies {
                    index: BoundsCheckPolicy::Restrict,
                    buffer: BoundsCheckPolicy::Restrict,
                    ..BoundsCheckPolicies::default()
                },
                ..spv::Options::default()
            },
            None,
        );
        let words = words.unwrap_or_else(|e| panic!("{variant}: SPIR-V {e}"));
        let options = msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            ..msl::Options::default()
        };
        let text = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default());
        assert!(text.is_ok(), "{variant}: MSL {:?}", text.err());
        let mut text = String::new();
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            ..hlsl::Options::default()
        };
        let pipeline = hlsl::PipelineOptions::default();
        let outcome = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
        assert!(outcome.is_ok(), "{variant}: HLSL {:?}", outcome.err());
        if let Some(folder) = &folder {
            write_to(folder, number, variant, &words, &text);
        }
        // OpenGL gets the kernels without subgroups.
        if !variant.uses_subgroups() {
            let mut text = String::new();
            let options = glsl::Options {
                version: glsl::Version::Desktop(450),
                ..glsl::Options::default()
            };
            let pipeline = glsl::PipelineOptions {
                shader_stage: naga::ShaderStage::Compute,
                entry_point: "main".into(),
                multiview: None,
            };
            let policies = BoundsCheckPolicies::default();
            let writer = glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, policies);
            let outcome = writer.and_then(|mut w| w.write());
            assert!(outcome.is_ok(), "{variant}: GLSL {:?}", outcome.err());
        }
    }
    println!("{} variants", all.len());
}

#[test]
fn params_have_the_layout_of_their_twin() {
    let (module, _) = parsed(&Variant::targets(true));
    let (_, ty) = module
        .types
        .iter()
        .find(|(_, t)| t.name.as_deref() == Some("Params"))
        .unwrap();
    let naga::TypeInner::Struct { members, span } = &ty.inner else {
        panic!("Params is no struct")
    };
    assert_eq!(*span as usize, size_of::<Params>());
    let names: Vec<_> = members.iter().map(|m| m.name.clone().unwrap()).collect();
    let rust = format!("{:?}", Params::default());
    let rust = rust.split("offsets").next().unwrap().trim_start_matches("Params { ");
    let mut rust: Vec<_> = rust.split(", ").map(|f| f.split(':').next().unwrap()).collect();
    *rust.last_mut().unwrap() = "offsets";
    assert_eq!(names, rust);
    assert!(members.iter().enumerate().all(|(i, m)| m.offset as usize == 4 * i));
}

#[test]
fn no_shader_file_is_unused() {
    fn files(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found, root);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut found = BTreeSet::new();
    files(&root, &mut found, &root);
    let used: BTreeSet<String> = all()
        .iter()
        .flat_map(|v| v.fragments())
        .map(|f| f.path.to_string())
        .collect();
    assert_eq!(found, used);
}

#[test]
fn messages_name_the_fragment() {
    let variant = Variant::COUNT_CORRECT;
    let first: usize = variant.fragments()[..2].iter().map(|f| f.source.lines().count()).sum();
    assert_eq!(
        variant.located(&format!("error at wgsl:{}:5 here", first + 3)),
        "error at shaders/count_correct.wgsl:3:5 here"
    );
    assert_eq!(variant.located("wgsl:1:1"), "shaders/params.wgsl:1:1");
    assert_eq!(variant.located("nothing to see"), "nothing to see");
}
