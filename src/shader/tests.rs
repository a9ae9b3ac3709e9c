//! Joins every variant, validates it with the capabilities that it declares, and writes it with naga's back ends.
#![allow(clippy::unwrap_used)]

mod gpu_code;
mod loss_passes;
mod sampling;
mod twins;
mod variants;

use super::*;
use crate::plan::{Capabilities, Plan, VectorWidth};
use crate::rows::Rows;
use naga::back::{glsl, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{self, ModuleInfo, ValidationFlags, Validator};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use variants::PLAIN;

/// Every variant.
fn all() -> Vec<Variant> {
    let sampling = variants::adapters()
        .into_iter()
        .flat_map(|adapter| sampling::all(&adapter));
    let losses = loss_passes::variants();
    losses.into_iter().chain(variants::all()).chain(sampling).collect()
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
    let mut capabilities = valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(valid::Capabilities::SUBGROUP, variant.uses_subgroups());
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

/// Writes a variant for other compilers to read: as WGSL, below a line with its constants, as SPIR-V and as HLSL.
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
    // `cargo xtask` sets this variable.
    let folder = std::env::var_os("VARIANTS_FOLDER").map(PathBuf::from);
    for (number, variant) in all.iter().enumerate() {
        let (module, info) = parsed(variant);
        let words = spv::write_vec(
            &module,
            &info,
            &spv::Options {
                lang_version: (1, 3),
                // These are wgpu's policies.
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
