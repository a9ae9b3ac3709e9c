//! Turns what a kernel is to compute into its WGSL source, which a small template joins from the files of `shaders/`.

mod files;
mod flags;
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
    AdjustSpec, CrossEntropySpec, FinalStep, LossPass, MaskKind, NormalizerKind, ResultPlace, RowOp, RowSpec,
    RowStatsNeed, SampleSpec, SampleStep,
};
pub(crate) use template::TemplateError;
pub(crate) use variant::Variant;
