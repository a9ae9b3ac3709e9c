//! What drivers and compilers get wrong, or differ in, and our shaders work round. Each test fails on the day when its issue
//! is fixed, and then the workaround can go. Where an issue is not known of the adapter under test, the test prints what the
//! adapter does.
#![allow(clippy::unwrap_used)]

mod common;

use common::buffers::{GUARD, buffer, read, submit};
use common::gpu;
use naga::back::{PipelineConstants, pipeline_constants::process_overrides};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::panic::catch_unwind;
use wgpu_softmax::wgpu::{self, Backend};

const LAVAPIPE: (&str, Backend) = ("llvmpipe", Backend::Vulkan);
const LLVMPIPE: (&str, Backend) = ("llvmpipe", Backend::Gl);
const SWIFTSHADER: (&str, Backend) = ("SwiftShader", Backend::Vulkan);

struct Issue {
    what: &'static str,
    /// WGSL for a word, from floats `a` and `b` that no compiler can know.
    word: String,
    inputs: [f32; 2],
    right: fn(f32, f32) -> u32,
    /// Adapters that are known to give another word.
    wrong_on: &'static [(&'static str, Backend)],
}

const IS_NAN: &str = "u32((bitcast<u32>(RESULT) & 0x7fffffffu) > 0x7f800000u)";
const BITS: &str = "bitcast<u32>(RESULT)";

fn issue(
    what: &'static str,
    (word, result): (&str, &str),
    inputs: [f32; 2],
    right: fn(f32, f32) -> u32,
    wrong_on: &'static [(&'static str, Backend)],
) -> Issue {
    Issue {
        what,
        word: word.replace("RESULT", result),
        inputs,
        right,
        wrong_on,
    }
}

/// NaN and infinities, which WGSL lets a driver assume away.
fn special_values() -> [Issue; 5] {
    let (nan, neg_inf) = (f32::NAN, f32::NEG_INFINITY);
    [
        issue(
            "x != x is false for NaN (bits.wgsl)",
            ("u32(RESULT)", "a != a"),
            [nan; 2],
            |_, _| 1,
            &[LAVAPIPE, SWIFTSHADER],
        ),
        issue(
            "max(1, NaN) is 1 (bits.wgsl)",
            (IS_NAN, "max(a, b)"),
            [1.0, nan],
            |_, _| 1,
            &[LAVAPIPE, LLVMPIPE],
        ),
        issue(
            "max(NaN, 1) is 1 (bits.wgsl)",
            (IS_NAN, "max(a, b)"),
            [nan, 1.0],
            |_, _| 1,
            &[LAVAPIPE, LLVMPIPE, SWIFTSHADER],
        ),
        issue(
            "exp(x - y) is no NaN for two -inf (bits.wgsl)",
            (IS_NAN, "exp(a - b)"),
            [neg_inf; 2],
            |_, _| 1,
            &[SWIFTSHADER],
        ),
        issue(
            "exp(x - x) is no NaN for -inf (bits.wgsl)",
            (IS_NAN, "exp(a - a)"),
            [neg_inf; 2],
            |_, _| 1,
            &[LAVAPIPE, LLVMPIPE, SWIFTSHADER],
        ),
    ]
}

/// Rounding, contraction and re-association.
fn rounding() -> [Issue; 5] {
    [
        issue(
            "(x + y) - x is y (math.wgsl)",
            (BITS, "(a + b) - a"),
            [1.0, 1e-10],
            |a, b| ((a + b) - a).to_bits(),
            &[LAVAPIPE, LLVMPIPE],
        ),
        issue(
            "(x + ROUNDER) - ROUNDER is x (math.wgsl)",
            (BITS, "(a + 12582912.0) - 12582912.0"),
            [-86.3, 0.0],
            |a, _| ((a + 12582912.0) - 12582912.0).to_bits(),
            &[LAVAPIPE, LLVMPIPE, SWIFTSHADER],
        ),
        issue(
            "fma rounds twice (math.wgsl)",
            (BITS, "fma(a, a, b)"),
            [1.000_000_1, -1.000_000_2],
            |a, b| a.mul_add(a, b).to_bits(),
            &[LAVAPIPE, LLVMPIPE, SWIFTSHADER],
        ),
        issue(
            "exp(-86.3) is more than 4 ULP off (math.wgsl)",
            ("u32(abs(bitcast<i32>(RESULT) - bitcast<i32>(b)) <= 4)", "exp(a)"),
            [-86.3, f64::from(-86.3f32).exp() as f32],
            |_, _| 1,
            &[LAVAPIPE, LLVMPIPE, SWIFTSHADER],
        ),
        issue(
            "results under 2^-126 are 0 (`flush4` in math.wgsl)",
            (BITS, "a * b"),
            [f32::MIN_POSITIVE, 0.5],
            |a, b| (a * b).to_bits(),
            &[SWIFTSHADER],
        ),
    ]
}

/// A kernel whose work-group `i` computes the word of issue `i`.
fn kernel(issues: &[Issue]) -> wgpu::ComputePipeline {
    let cases: String = issues
        .iter()
        .enumerate()
        .map(|(i, issue)| format!("case {i}u: {{ y[{i}] = {}; }}\n", issue.word))
        .collect();
    let source = format!(
        "@group(0) @binding(0) var<storage> x: array<vec2<f32>>;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {{
            let a = x[id.x].x;
            let b = x[id.x].y;
            switch id.x {{ {cases} default: {{ }} }}
        }}"
    );
    let device = gpu().device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}

/// The word of each issue, from one kernel.
fn words(issues: &[Issue]) -> Vec<u32> {
    let pipeline = kernel(issues);
    let inputs: Vec<[f32; 2]> = issues.iter().map(|issue| issue.inputs).collect();
    let (x, y) = (buffer(&inputs), buffer(&vec![GUARD; issues.len()]));
    let group = gpu().device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[(0, &x), (1, &y)].map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        }),
    });
    submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(issues.len() as u32, 1, 1);
    });
    read(&y)
}

#[test]
fn drivers_still_get_wrong_what_the_shaders_avoid() {
    let issues: Vec<Issue> = special_values().into_iter().chain(rounding()).collect();
    let info = gpu().adapter_info();
    let mut fixed = Vec::new();
    for (issue, got) in issues.iter().zip(words(&issues)) {
        let right = (issue.right)(issue.inputs[0], issue.inputs[1]);
        let is_known = issue
            .wrong_on
            .iter()
            .any(|(name, backend)| info.name.contains(name) && info.backend == *backend);
        let state = match (is_known, got == right) {
            (true, false) => "still so",
            (true, true) => "FIXED",
            (false, true) => "not here",
            (false, false) => "here too, not listed",
        };
        let [a, b] = issue.inputs;
        let found = format!(
            "{state}: {}: for a = {a:e} and b = {b:e}, {got:#x}, and {right:#x} is right",
            issue.what
        );
        println!("{found}");
        if is_known && got == right {
            fixed.push(found);
        }
    }
    assert!(
        fixed.is_empty(),
        "fixed on {} ({:?}), so that its workaround can go: {fixed:#?}",
        info.name,
        info.backend
    );
}

fn parse(source: &str) -> Result<naga::Module, naga::front::wgsl::ParseError> {
    naga::front::wgsl::parse_str(source)
}

/// Browsers require the directive, so it cannot stand in a shader file.
#[test]
fn naga_refuses_enable_subgroups() {
    let kernel = "@compute @workgroup_size(1) fn main() {}";
    if let Err(error) = parse(kernel) {
        panic!("naga refuses «{kernel}», which is no kernel with subgroups: {error}");
    }
    match parse(&format!("enable subgroups; {kernel}")) {
        Ok(_) => panic!("naga takes «enable subgroups», so that it can stand in a shader file"),
        Err(error) => assert!(
            error.to_string().contains("subgroups"),
            "naga refuses something else: {error}"
        ),
    }
}

/// So only Tint shows a barrier that some invocations do not reach.
#[test]
fn naga_takes_a_barrier_in_divergent_control_flow() {
    let module = parse(
        "@compute @workgroup_size(2) fn main(@builtin(local_invocation_index) i: u32) {
            if i == 0u { workgroupBarrier(); }
        }",
    );
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    if let Err(error) = validator.validate(&module.unwrap()) {
        panic!("naga finds the barrier that only one invocation reaches: {error:?}");
    }
}

/// So `EXCHANGE_WORDS` in shaders/reduce/lane.wgsl has a name: it comes before overrides that other lengths use.
#[test]
fn naga_panics_where_a_length_is_an_unnamed_override_expression() {
    let compiles = |named: &str, length: &str| {
        let module = parse(&format!(
            "override N: u32 = 64u;
            {named}
            var<workgroup> words: array<u32, {length}>;
            override M: u32 = 8u;
            var<workgroup> more: array<u32, M>;
            @compute @workgroup_size(N) fn main() {{ words[0] = more[0]; }}"
        ))
        .unwrap();
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .unwrap();
        let stage = Some((naga::ShaderStage::Compute, "main"));
        catch_unwind(|| process_overrides(&module, &info, stage, &PipelineConstants::default()).is_ok())
    };
    let with_name = compiles("override WORDS: u32 = 2u * N;", "WORDS");
    assert!(
        matches!(with_name, Ok(true)),
        "a length of a named override: {with_name:?}, but Ok(true) is expected"
    );
    let without_name = compiles("", "2u * N").map_err(|_| "a panic");
    assert_eq!(
        without_name,
        Err("a panic"),
        "what naga does with a length of an unnamed override expression"
    );
}
