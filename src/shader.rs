//! From what a kernel is to compute to its WGSL source: the files of `shaders/`, joined by a small template.

mod files;
mod params;
mod slot;
mod spec;
mod template;
#[cfg(test)]
mod tests;
mod variant;

pub(crate) use params::{Params, SummaryWords};
pub(crate) use slot::{Slot, Slots};
pub(crate) use spec::{
    AdjustSpec, CrossEntropySpec, FinalStep, FinalSum, MaskKind, NormalizerKind, ResultPlace, RowOp, RowSpec,
    RowStatsNeed,
};
pub(crate) use template::TemplateError;
pub(crate) use variant::Variant;
