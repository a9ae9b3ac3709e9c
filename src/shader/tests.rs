//! Every variant joined, validated with the capabilities it declares, and written by naga's back ends.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::dtype::{Dtype, Storage};
use crate::plan::{Capabilities, Plan, VectorWidth};
use crate::rows::Rows;
use crate::schedule::Schedule;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{self, ModuleInfo, ValidationFlags, Validator};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn slots(all: &[Slot]) -> Slots {
    all.iter().copied().collect()
}

const PLAIN: RowSpec = RowSpec {
    op: RowOp::Softmax {
        log: false,
        lse_grad: false,
    },
    storage: Storage::all(Dtype::F32),
    place: ResultPlace::Apart,
    stats: RowStatsNeed::Sums,
    adjust: AdjustSpec {
        is_adjusted: false,
        softcap: false,
        mask: MaskKind::None,
        grad_only: false,
    },
    slots: Slots::NONE,
};

fn softcap(mask: MaskKind) -> AdjustSpec {
    AdjustSpec {
        is_adjusted: true,
        softcap: true,
        mask,
        grad_only: false,
    }
}

const ADJUST_SLOTS: [Slot; 3] = [Slot::Mask, Slot::Bias, Slot::RowScale];

/// Kernels of the softmax family with everything off, and with everything on that goes together.
fn softmax_specs() -> [RowSpec; 5] {
    let softmax = |log, lse_grad| RowOp::Softmax { log, lse_grad };
    [
        PLAIN,
        RowSpec {
            op: softmax(true, false),
            adjust: softcap(MaskKind::Full),
            slots: slots(&ADJUST_SLOTS),
            ..PLAIN
        },
        RowSpec {
            op: softmax(false, true),
            stats: RowStatsNeed::SavedLse,
            adjust: softcap(MaskKind::Causal),
            slots: slots(&[Slot::SavedLse, Slot::GradScale]),
            ..PLAIN
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: true },
            slots: slots(&[Slot::UpstreamMatrix]),
            ..PLAIN
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: false },
            adjust: AdjustSpec {
                grad_only: true,
                ..softcap(MaskKind::None)
            },
            slots: slots(&[Slot::UpstreamMatrix, Slot::SoftcapLogits, Slot::Bias, Slot::RowScale]),
            ..PLAIN
        },
    ]
}

/// Those of the losses likewise.
fn loss_specs() -> [RowSpec; 7] {
    let every = CrossEntropySpec {
        nll: false,
        target_weight: true,
        target_sums: true,
        z_loss: true,
        entropy: true,
    };
    let weighted = CrossEntropySpec {
        target_weight: true,
        ..CrossEntropySpec::default()
    };
    let nll = CrossEntropySpec {
        nll: true,
        ..CrossEntropySpec::default()
    };
    let cross_entropy = |op, bound: &[Slot]| RowSpec {
        op: RowOp::CrossEntropy(op),
        slots: slots(bound),
        ..PLAIN
    };
    let binary = |weight, bound: &[Slot]| RowSpec {
        op: RowOp::BinaryCrossEntropy { weight },
        stats: RowStatsNeed::Nothing,
        slots: slots(bound).with([Slot::SoftTargets, Slot::Loss, Slot::GradScale]),
        ..PLAIN
    };
    let outputs = [
        Slot::Loss,
        Slot::Lse,
        Slot::RowZLoss,
        Slot::LogProb,
        Slot::Entropy,
        Slot::Argmax,
    ];
    let with_targets = [Slot::Targets, Slot::GradScale, Slot::Loss];
    let mut everything = cross_entropy(every, &with_targets);
    everything.adjust = softcap(MaskKind::PerClass);
    everything.slots = everything.slots.with(outputs).with(ADJUST_SLOTS).with([Slot::Weights]);
    let saved = [Slot::Targets, Slot::GradScale, Slot::Weights, Slot::SavedLse];
    [
        cross_entropy(CrossEntropySpec::default(), &with_targets),
        everything,
        cross_entropy(every, &[Slot::SoftTargets, Slot::GradScale, Slot::Weights]),
        RowSpec {
            stats: RowStatsNeed::SavedLse,
            ..cross_entropy(weighted, &saved)
        },
        RowSpec {
            stats: RowStatsNeed::Nothing,
            ..cross_entropy(nll, &with_targets)
        },
        binary(MaskKind::None, &[]),
        binary(MaskKind::Full, &[Slot::Mask, Slot::PosWeights]),
    ]
}

fn specs() -> impl Iterator<Item = RowSpec> {
    softmax_specs().into_iter().chain(loss_specs())
}

/// The kernels around the rows.
fn loss_variants() -> Vec<Variant> {
    let mut all = vec![Variant::COUNT_CORRECT, Variant::JACOBIAN, Variant::reduce_rows(None)];
    for flag in [false, true] {
        let last = FinalStep {
            sum: FinalSum::Loss,
            is_mean: flag,
            z_loss: flag,
        };
        all.extend([Variant::reduce_rows(Some(last)), Variant::count_targets(flag)]);
        let kinds = [
            NormalizerKind::None,
            NormalizerKind::Counted,
            NormalizerKind::Number,
            NormalizerKind::Buffer,
        ];
        all.extend(kinds.map(|kind| Variant::normalizer(kind, flag && kind == NormalizerKind::Counted, flag)));
    }
    all
}

/// Short rows of every number of registers, and long rows of every schedule.
fn schedules() -> impl Iterator<Item = (usize, Schedule)> {
    let held = [1, 2, 4, 8, 16, 32].map(|regs| (regs * 32, Schedule::Held { lanes: 8 }));
    let long = [
        (3000, Schedule::Held { lanes: 8 }),
        (3000, Schedule::Chunked { lanes: 64 }),
        (3000, Schedule::Split { lanes: 8, pieces: 3 }),
    ];
    held.into_iter().chain(long)
}

/// The types in turn, so that each meets every operation.
const STORAGE: [Storage; 4] = [
    Storage::all(Dtype::F32),
    Storage::all(Dtype::F16),
    Storage::all(Dtype::Bf16),
    Storage {
        logits: Dtype::Bf16,
        result: Dtype::F32,
    },
];

/// One operation under one plan: in every vector width and place.
fn row_variants(spec: RowSpec, plan: &Plan, turn: usize, all: &mut Vec<Variant>) {
    for width in [VectorWidth::X1, VectorWidth::X2, VectorWidth::X4] {
        for place in [ResultPlace::Apart, ResultPlace::InPlace, ResultPlace::None] {
            let turns = if place == ResultPlace::InPlace { 3 } else { 4 };
            let storage = STORAGE[turn % turns];
            all.push(Variant::row(RowSpec { storage, place, ..spec }, width, false, plan));
        }
        if matches!(plan.schedule, Schedule::Split { .. }) && spec.stats == RowStatsNeed::Sums {
            all.push(Variant::row(spec, width, true, plan));
        }
    }
}

/// Every operation, in every storage, place and schedule, with subgroups and without.
fn all() -> Vec<Variant> {
    let info = wgpu::AdapterInfo {
        subgroup_min_size: 8,
        ..wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan)
    };
    let mut all = loss_variants();
    for subgroups in [false, true] {
        let adapter = Capabilities::new(&info, &wgpu::Limits::default(), subgroups);
        for (turn, (classes, schedule)) in schedules().enumerate() {
            for spec in specs() {
                let words = spec.span_words() as usize;
                let plan = Plan::new(&Rows::new(4, classes), &adapter, words, false, Some(schedule)).unwrap();
                row_variants(spec, &plan, turn, &mut all);
            }
        }
    }
    all
}

fn source(variant: &Variant) -> String {
    let rendered = variant.render();
    rendered.unwrap_or_else(|e| panic!("{variant}: {e}")).source
}

fn parsed(variant: &Variant) -> (naga::Module, ModuleInfo) {
    let source = source(variant);
    let located = |message: String| variant.render().map_or(message.clone(), |r| r.located(&message));
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{variant}: {}", located(e.emit_to_string(&source))));
    let capabilities = if variant.uses_subgroups() {
        valid::Capabilities::SUBGROUP
    } else {
        valid::Capabilities::empty()
    };
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    if variant.uses_subgroups() {
        validator
            .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
            .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    }
    let info = validator
        .validate(&module)
        .unwrap_or_else(|e| panic!("{variant}: {}", located(e.emit_to_string(&source))));
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
    let wgsl = format!("// {constants}\n{enable}// {variant}\n{}", source(variant));
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

/// The fields of a struct of the shaders, and its size.
fn fields(module: &naga::Module, name: &str) -> (Vec<String>, usize) {
    let (_, ty) = module
        .types
        .iter()
        .find(|(_, t)| t.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no struct {name}"));
    let naga::TypeInner::Struct { members, span } = &ty.inner else {
        panic!("{name} is no struct but {:?}", ty.inner)
    };
    for (i, member) in members.iter().enumerate() {
        assert_eq!(
            member.offset as usize,
            4 * i,
            "offset of {name}::{:?}, which is number {i}",
            member.name
        );
    }
    (
        members.iter().map(|m| m.name.clone().unwrap()).collect(),
        *span as usize,
    )
}

/// The names of the fields of a Rust struct, from its `Debug` form.
fn rust_fields(debug: &str) -> Vec<String> {
    let (_, fields) = debug.split_once("{ ").unwrap();
    let names = fields.split(", ").filter_map(|field| field.split_once(": "));
    names.map(|(name, _)| name.to_string()).collect()
}

#[test]
fn structs_have_the_layout_of_their_twins() {
    let (module, _) = parsed(&Variant::count_targets(true));
    let (params, summary) = (Params::default(), SummaryWords::default());
    for (name, size, twin) in [
        ("Params", size_of_val(&params), format!("{params:?}")),
        ("Summary", size_of_val(&summary), format!("{summary:?}")),
    ] {
        let (fields, span) = fields(&module, name);
        assert_eq!(span, size, "size of {name} in the shaders and in Rust");
        assert_eq!(
            fields,
            rust_fields(&twin),
            "fields of {name} in the shaders and in Rust"
        );
    }
}

/// `const NAME: u32 = 7u;` lines of the shaders that are slots: those that stand in `@binding(NAME)`.
#[test]
fn slots_have_the_numbers_of_their_twins() {
    let mut bindings = BTreeMap::new();
    for variant in all() {
        let source = source(&variant);
        for binding in source.split("@binding(").skip(1) {
            let name = binding.split(')').next().unwrap();
            let number = source.split(&format!("const {name}: u32 = ")).nth(1);
            let number = number.map(|rest| rest.split('u').next().unwrap().to_string());
            bindings.insert(name.to_string(), number);
        }
    }
    let slots: BTreeMap<_, _> = ALL_SLOTS
        .iter()
        .map(|&slot| (screaming(&format!("{slot:?}")), Some((slot as u32).to_string())))
        .chain([("0".to_string(), None)])
        .collect();
    assert_eq!(bindings, slots, "bindings of the shaders, and slots of Rust");
}

const ALL_SLOTS: [Slot; 23] = [
    Slot::Logits,
    Slot::Result,
    Slot::Scratch,
    Slot::Targets,
    Slot::GradScale,
    Slot::Loss,
    Slot::Lse,
    Slot::Argmax,
    Slot::RowZLoss,
    Slot::LogProb,
    Slot::Entropy,
    Slot::SoftTargets,
    Slot::SoftcapLogits,
    Slot::Mask,
    Slot::Bias,
    Slot::RowScale,
    Slot::Weights,
    Slot::SavedLse,
    Slot::PosWeights,
    Slot::UpstreamMatrix,
    Slot::Summary,
    Slot::Upstream,
    Slot::Normalizer,
];

/// `RowZLoss` as `ROW_Z_LOSS`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_uppercase());
    }
    out
}

/// The constants of an enum of the shaders, `PREFIX_NAME`, are what the Rust enum says.
#[test]
fn enums_have_the_numbers_of_their_twins() {
    let mask = |kind: MaskKind, name| (format!("MASK_{name}"), kind as u32);
    let normalizer = |kind: NormalizerKind, name| (format!("NORMALIZER_{name}"), kind as u32);
    let last = |sum: FinalSum, name| (format!("FINAL_{name}"), sum as u32);
    let text: String = files::FILES.iter().map(|(_, text)| *text).collect();
    for (name, number) in [
        mask(MaskKind::None, "NONE"),
        mask(MaskKind::Causal, "CAUSAL"),
        mask(MaskKind::PerClass, "PER_CLASS"),
        mask(MaskKind::Full, "FULL"),
        normalizer(NormalizerKind::Counted, "COUNTED"),
        normalizer(NormalizerKind::Number, "NUMBER"),
        last(FinalSum::Loss, "LOSS"),
        last(FinalSum::Weights, "WEIGHTS"),
        last(FinalSum::ZLoss, "Z_LOSS"),
    ] {
        let constant = format!("const {name}: u32 = {number}u;");
        assert!(text.contains(&constant), "the shaders have no {constant:?}");
    }
}

#[test]
fn every_shader_file_is_used_and_listed() {
    fn files_of(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_of(&path, found, root);
            } else {
                let path = path.strip_prefix(root).unwrap().with_extension("");
                found.insert(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut found = BTreeSet::new();
    files_of(&root, &mut found, &root);
    let used: BTreeSet<String> = all().iter().flat_map(|v| v.render().unwrap().files()).collect();
    assert_eq!(found, used, "files of shaders/, and files that some variant imports");
}

#[test]
fn plain_softmax_is_made_of_ten_files() {
    let adapter = wgpu::AdapterInfo::new(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
    let adapter = Capabilities::new(&adapter, &wgpu::Limits::default(), false);
    let plan = Plan::new(&Rows::new(4, 64), &adapter, 3, false, None).unwrap();
    let files = Variant::row(PLAIN, VectorWidth::X4, false, &plan)
        .render()
        .unwrap()
        .files();
    assert!(
        files.len() <= 10,
        "a reader of a plain softmax has {} files to read: {files:?}",
        files.len()
    );
}
