//! Every variant joined, validated with the capabilities it declares, and written by naga's back ends.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::plan::Traits;
use crate::rows::Rows;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::BTreeSet;
use std::path::Path;

/// Every operation, storage, place and schedule, in both families of reduction.
fn all() -> Vec<Variant> {
    let mut all = vec![Variant::TARGETS, Variant::COUNT_CORRECT];
    for flag in [false, true] {
        all.push(Variant::settle(flag));
        all.push(Variant::reduce_loss(flag, flag));
    }
    let info = wgpu::AdapterInfo {
        subgroup_min_size: 8,
        ..wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan)
    };
    let some = |flag| RowOp::CrossEntropy {
        gradient: flag,
        loss: true,
        lse: flag,
        argmax: flag,
    };
    let ops = [
        RowOp::Softmax { log: false },
        RowOp::Softmax { log: true },
        some(false),
        some(true),
    ];
    for subgroups in [false, true] {
        let traits = Traits::new(&info, &wgpu::Limits::default(), subgroups);
        let held = [1, 2, 4, 8, 16, 32].map(|held| (held * 32, Schedule::Held { lanes: 8 }));
        let long = [
            (3000, Schedule::Chunked { lanes: 64 }),
            (3000, Schedule::Split { lanes: 8, pieces: 3 }),
        ];
        for (classes, schedule) in held.into_iter().chain(long) {
            let plan = Plan::new(&Rows::new(4, classes), &traits, Some(schedule)).unwrap();
            for elem in [Elem::F32, Elem::F32Strided] {
                for op in ops {
                    for place in [Place::Apart, Place::InPlace, Place::None] {
                        all.push(Variant::row(op, elem, place, &plan));
                    }
                }
                if matches!(schedule, Schedule::Split { .. }) {
                    all.push(Variant::row(
                        RowOp::SplitStats { argmax: true },
                        elem,
                        Place::None,
                        &plan,
                    ));
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

#[test]
fn every_variant_is_valid_and_every_back_end_writes_it() {
    let all = all();
    for variant in &all {
        let (module, info) = parsed(variant);
        let words = spv::write_vec(
            &module,
            &info,
            &spv::Options {
                lang_version: (1, 3),
                ..spv::Options::default()
            },
            None,
        );
        assert!(words.is_ok_and(|w| !w.is_empty()), "{variant}: SPIR-V");
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
            let policies = naga::proc::BoundsCheckPolicies::default();
            let writer = glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, policies);
            let outcome = writer.and_then(|mut w| w.write());
            assert!(outcome.is_ok(), "{variant}: GLSL {:?}", outcome.err());
        }
    }
    println!("{} variants", all.len());
}

#[test]
fn params_have_the_layout_of_their_twin() {
    let (module, _) = parsed(&Variant::TARGETS);
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
    let rust: Vec<_> = rust
        .trim_start_matches("Params { ")
        .split(", ")
        .map(|f| f.split(':').next().unwrap().to_string())
        .collect();
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
    let variant = Variant::TARGETS;
    let first = variant.fragments()[0].source.lines().count();
    assert_eq!(
        variant.located(&format!("error at wgsl:{}:5 here", first + 3)),
        "error at shaders/targets.wgsl:3:5 here"
    );
    assert_eq!(variant.located("wgsl:1:1"), "shaders/params.wgsl:1:1");
    assert_eq!(variant.located("nothing to see"), "nothing to see");
}
