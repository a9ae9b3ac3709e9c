//! Writes kernels for `cargo xtask gpu-code`, which gives them to the compilers of real GPUs: as SPIR-V, made as wgpu makes
//! it for a hardware GPU, as Metal's language, and in `kernels.json` what each of them is.

use super::super::*;
use super::parsed;
use super::variants::PLAIN;
use crate::dtype::{Dtype, Storage};
use crate::plan::{Capabilities, Plan, Reduce, VectorWidth};
use crate::rows::Rows;
use crate::schedule::Schedule;
use naga::back::{msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const TYPES: [(&str, Dtype); 3] = [("f32", Dtype::F32), ("bf16", Dtype::Bf16), ("f16", Dtype::F16)];

/// Rows, classes, and the schedule, unless it is the one that would be chosen.
const SHAPES: [(usize, usize, Option<Schedule>); 9] = [
    // From the difference between these two follows what a class costs apart from what a row does.
    (4096, 512, Some(Schedule::Held { lanes: 32 })),
    (4096, 1024, Some(Schedule::Held { lanes: 32 })),
    (1_000_000, 10, None),
    (8192, 64, None),
    (1024, 4096, None),
    (1024, 32_000, None),
    (128, 32_000, None),
    (32, 128_256, None),
    (32, 128_256, Some(Schedule::Split { lanes: 32, pieces: 126 })),
];

/// The rows that are sampled, which is done in steps with a kernel each.
const SAMPLED: (usize, usize) = (128, 32_000);

fn operations() -> [(&'static str, RowSpec); 4] {
    let loss = RowSpec {
        op: RowOp::CrossEntropy(CrossEntropySpec::default()),
        slots: [Slot::Targets, Slot::GradScale, Slot::Loss].into_iter().collect(),
        ..PLAIN
    };
    let fast = |spec| RowSpec { fast: true, ..spec };
    [
        ("softmax", PLAIN),
        ("loss+gradient", loss),
        ("fast softmax", fast(PLAIN)),
        ("fast loss+gradient", fast(loss)),
    ]
}

fn step(step: SampleStep, sample: SampleSpec, slots: &[Slot]) -> RowSpec {
    RowSpec {
        op: RowOp::Sample(step),
        place: ResultPlace::None,
        sample,
        slots: slots.iter().copied().collect(),
        ..PLAIN
    }
}

/// The steps of plain temperature sampling, and those with filters, penalties and reports, as `src/ops/sample/steps.rs`
/// lists them. What a class costs is counted for the passes that leave statistics.
fn sampling_steps() -> [(&'static str, RowSpec); 12] {
    let plain = SampleSpec {
        is_sampled: true,
        ..PLAIN.sample
    };
    let tempered = SampleSpec {
        temperature: true,
        ..plain
    };
    let edited = SampleSpec {
        edits: true,
        ..tempered
    };
    let kept = SampleSpec {
        edges: true,
        ..tempered
    };
    let stats = |sample, maxima| RowSpec {
        op: PLAIN.op,
        ..step(
            SampleStep::Draw,
            SampleSpec {
                maxima,
                one_step: true,
                ..sample
            },
            &[Slot::Logits],
        )
    };
    let filter = |is_sparse, is_top| {
        let sample = SampleSpec {
            is_sparse,
            is_top,
            ..tempered
        };
        step(SampleStep::Filter, sample, &[])
    };
    let draft = [Slot::DraftTokens, Slot::Accepted, Slot::DraftProbs];
    let reported = [Slot::LogProb, Slot::TopIds, Slot::TopLogProbs];
    [
        ("sample at temperature 1", stats(plain, false)),
        ("sample", stats(tempered, false)),
        ("sample: draw", step(SampleStep::Draw, tempered, &[])),
        ("filtered sample", stats(tempered, true)),
        ("filtered sample: few kept", filter(true, false)),
        ("filtered sample: many kept", filter(false, false)),
        ("filtered sample: draw", step(SampleStep::Draw, kept, &[])),
        ("penalised sample", stats(edited, true)),
        (
            "penalised sample: edits",
            step(SampleStep::Edits, plain, &[Slot::History]),
        ),
        ("reported sample: top", filter(false, true)),
        ("reported sample: report", step(SampleStep::Report, tempered, &reported)),
        ("sample with a draft", step(SampleStep::Draft, kept, &draft)),
    ]
}

/// A GPU with what all of those have that the kernels are compiled for.
fn hardware_gpu() -> Capabilities {
    let info = wgpu::AdapterInfo {
        subgroup_min_size: 32,
        ..wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, wgpu::Backend::Vulkan)
    };
    let limits = wgpu::Limits {
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_storage_size: 48 << 10,
        ..wgpu::Limits::default()
    };
    Capabilities::new(&info, &limits, true)
}

/// The kernels that are written, and the folder that they go to, if to any.
struct Kernels {
    folder: Option<PathBuf>,
    written: Vec<Value>,
}

impl Kernels {
    /// `name`: the operation and the type. `forced`: a schedule that would not be chosen.
    fn add(&mut self, name: (&str, &str), pass: &str, rows: &Rows, (plan, forced): (&Plan, bool), variant: &Variant) {
        let file = format!("{:03}", self.written.len());
        let bindings = write_kernel(self.folder.as_deref(), &file, variant);
        self.written.push(json!({
            "file": file,
            "operation": name.0,
            "type": name.1,
            "rows": rows.count(),
            "classes": rows.classes(),
            "schedule": plan.schedule.to_string(),
            "is_chosen": !forced,
            "pass": pass,
            "lane_classes": classes_per_lane(rows, plan),
            "fold_steps": fold_steps(plan),
            "bindings": bindings,
        }));
    }

    fn add_operations(&mut self, adapter: &Capabilities) {
        for (operation, spec) in operations() {
            for (type_name, dtype) in TYPES {
                let storage = Storage::all(dtype);
                let spec = RowSpec { storage, ..spec };
                for (count, classes, forced) in SHAPES {
                    let rows = Rows::new(count, classes);
                    let (words, is_slow) = (spec.span_words() as usize, spec.compiles_slowly());
                    let plan = Plan::new(&rows, adapter, words, is_slow, forced).unwrap();
                    let is_split = matches!(plan.schedule, Schedule::Split { .. });
                    for pass in if is_split {
                        &["statistics", "write"][..]
                    } else {
                        &["whole"]
                    } {
                        let variant = Variant::row(spec, VectorWidth::of_rows(&rows), *pass == "statistics", &plan);
                        let plan = (&plan, forced.is_some());
                        self.add((operation, type_name), pass, &rows, plan, &variant);
                    }
                }
            }
        }
    }

    fn add_sampling(&mut self, adapter: &Capabilities) {
        let (rows, width) = (Rows::new(SAMPLED.0, SAMPLED.1), VectorWidth::X4);
        let [stats, others] = Plan::of_passes(&rows, adapter, None).unwrap();
        assert!(stats.is_one_step(&rows), "{stats:?}");
        for (name, spec) in sampling_steps() {
            let is_stats = spec.op == PLAIN.op;
            let (plan, pass) = if is_stats {
                (&stats, "one step")
            } else {
                (&others, "step")
            };
            self.add(
                (name, "f32"),
                pass,
                &rows,
                (plan, false),
                &Variant::row(spec, width, is_stats, plan),
            );
        }
        // What the first of them is compared with: the statistics of a logsumexp, under the schedule that it has.
        let plan = Plan::new(&rows, adapter, PLAIN.span_words() as usize, false, None).unwrap();
        let stats = Variant::row(PLAIN, width, true, &plan);
        self.add(("logsumexp", "f32"), "statistics", &rows, (&plan, false), &stats);
    }
}

#[test]
fn kernels_for_real_gpus_are_valid() {
    // `cargo xtask` sets this variable.
    let folder = std::env::var_os("GPU_CODE_FOLDER").map(PathBuf::from);
    let adapter = hardware_gpu();
    let mut kernels = Kernels {
        folder,
        written: Vec::new(),
    };
    kernels.add_operations(&adapter);
    kernels.add_sampling(&adapter);
    if let Some(folder) = kernels.folder {
        let text = serde_json::to_string_pretty(&kernels.written).unwrap();
        std::fs::write(folder.join("kernels.json"), text).unwrap();
    }
}

/// Classes of a row that a lane holds, or that it takes at a time where it goes through the row in a loop.
fn classes_per_lane(rows: &Rows, plan: &Plan) -> f64 {
    let shape = &plan.shape;
    match plan.schedule {
        Schedule::Held { .. } => rows.classes() as f64 / f64::from(shape.lanes * shape.row_chunks),
        _ => f64::from(4 * shape.regs_per_lane),
    }
}

/// What a lane reads of the others' values in the loop that takes the maximum across subgroups (`fold_max`).
fn fold_steps(plan: &Plan) -> u32 {
    match plan.shape.reduce {
        Reduce::Subgroup { lanes } => (plan.shape.lanes / lanes).min(8),
        Reduce::Workgroup { .. } => plan.shape.lanes.min(8),
    }
}

/// What is bound to the kernel: the bindings' numbers, and whether they are uniform buffers.
fn write_kernel(folder: Option<&Path>, file: &str, variant: &Variant) -> Value {
    let (module, info) = parsed(variant);
    let words = spirv(&module, &info);
    let metal = metal(&module, &info);
    if let Some(folder) = folder {
        let path = |extension| folder.join(file).with_extension(extension);
        std::fs::write(path("spv"), bytemuck::cast_slice(&words)).unwrap();
        std::fs::write(path("metal"), format!("// {variant}\n{metal}")).unwrap();
    }
    let bound = module.global_variables.iter().filter_map(|(_, variable)| {
        let is_uniform = variable.space == naga::AddressSpace::Uniform;
        Some(json!({"number": variable.binding?.binding, "is_uniform": is_uniform}))
    });
    bound.collect()
}

/// As wgpu-hal does on a Vulkan device that has robustBufferAccess2, for a pipeline that does not want work-group memory
/// zeroed.
fn spirv(module: &naga::Module, info: &ModuleInfo) -> Vec<u32> {
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: BoundsCheckPolicy::Unchecked,
            ..BoundsCheckPolicies::default()
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: true,
        emit_int_div_checks: true,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
    };
    spv::write_vec(module, info, &options, Some(&pipeline)).unwrap()
}

/// Without checks of bounds and of loops' ends: it is a step on the way to CUDA.
fn metal(module: &naga::Module, info: &ModuleInfo) -> String {
    let options = msl::Options {
        lang_version: (3, 0),
        fake_missing_bindings: true,
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        ..msl::Options::default()
    };
    let text = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
    text.unwrap().0
}
