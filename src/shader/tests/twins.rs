//! Checks that structs, slots and enums of the shaders have the layout and the numbers of their Rust twins.

use super::super::*;
use super::all;
use super::{parsed, source};
use std::collections::BTreeMap;

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
    let pass = LossPass {
        counts_targets: true,
        ..LossPass::default()
    };
    let last = FinalStep {
        normalizer: NormalizerKind::Counted,
        writes_all: true,
        writes_scale: true,
        is_mean: false,
    };
    let (module, _) = parsed(&Variant::loss(pass, true, Some(last), false));
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

/// A line `const NAME: u32 = 7u;` of the shaders is a slot if `@binding(NAME)` occurs.
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

const ALL_SLOTS: [Slot; 49] = [
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
    Slot::Partials,
    Slot::NextPartials,
    Slot::SampleParams,
    Slot::Allowed,
    Slot::Edits,
    Slot::Maxima,
    Slot::Edges,
    Slot::Tokens,
    Slot::History,
    Slot::BiasClasses,
    Slot::BiasValues,
    Slot::Ranks,
    Slot::Kept,
    Slot::TopIds,
    Slot::TopLogProbs,
    Slot::KeptScratch,
    Slot::SampleSummary,
    Slot::DraftTokens,
    Slot::DraftProbs,
    Slot::Accepted,
    Slot::Searches,
    Slot::RowTable,
    Slot::RowWeights,
    Slot::Sink,
    Slot::SinkGrad,
    Slot::Direction,
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
    let text: String = files::FILES.iter().map(|(_, text)| *text).collect();
    for (name, number) in [
        mask(MaskKind::None, "NONE"),
        mask(MaskKind::Causal, "CAUSAL"),
        mask(MaskKind::PerClass, "PER_CLASS"),
        mask(MaskKind::Full, "FULL"),
        normalizer(NormalizerKind::Counted, "COUNTED"),
        normalizer(NormalizerKind::Number, "NUMBER"),
        normalizer(NormalizerKind::Buffer, "BUFFER"),
        normalizer(NormalizerKind::Summary, "SUMMARY"),
    ] {
        let constant = format!("const {name}: u32 = {number}u;");
        assert!(text.contains(&constant), "the shaders have no {constant:?}");
    }
}
