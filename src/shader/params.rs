//! The parameters of a dispatch, and the summary of a batch: the Rust twins of `shaders/params.wgsl` and
//! `shaders/summary.wgsl`, where each field is explained.

use super::slot::SLOTS_MAX;
use crate::rows::Rows;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    pub(crate) rows: u32,
    pub(crate) classes: u32,
    pub(crate) inner: u32,
    pub(crate) outer_stride: u32,
    pub(crate) first_row: u32,
    pub(crate) groups_x: u32,
    pub(crate) pieces: u32,
    pub(crate) spans: u32,
    pub(crate) fully_masked: u32,
    pub(crate) ignore_index: u32,
    pub(crate) grad_scale_stride: u32,
    pub(crate) zero: u32,
    pub(crate) scale: f32,
    pub(crate) softcap: f32,
    pub(crate) softcap_reciprocal: f32,
    pub(crate) causal_group: u32,
    pub(crate) causal_offset: i32,
    pub(crate) one_minus_smoothing: f32,
    pub(crate) smoothing_per_class: f32,
    pub(crate) smoothing: f32,
    pub(crate) z_loss: f32,
    pub(crate) normalizer: f32,
    pub(crate) empty_mean: u32,
    pub(crate) batch_rows: u32,
    pub(crate) sample_stride: u32,
    pub(crate) allowed_stride: u32,
    pub(crate) edits_stride: u32,
    pub(crate) history_length: u32,
    pub(crate) bias_length: u32,
    pub(crate) bias_stride: u32,
    pub(crate) top_n: u32,
    pub(crate) draft_length: u32,
    pub(crate) shard_classes: u32,
    pub(crate) first_class: u32,
    pub(crate) shard_spans: u32,
    pub(crate) first_span: u32,
    pub(crate) sink_stride: u32,
    pub(crate) teacher_scale: f32,
    pub(crate) loss_scale: f32,
    pub(crate) unused: u32,
    pub(crate) offsets: [u32; SLOTS_MAX],
}

impl Params {
    /// These numbers with those of such rows.
    pub(crate) fn of_rows(self, rows: &Rows) -> Self {
        Self {
            classes: rows.whole_classes() as u32,
            inner: rows.inner() as u32,
            outer_stride: rows.outer_stride() as u32,
            spans: rows.whole_spans() as u32,
            shard_classes: rows.classes() as u32,
            first_class: rows.first_class() as u32,
            shard_spans: rows.spans() as u32,
            first_span: (rows.first_class() / rows.grid()) as u32,
            ..self
        }
    }
}

/// All zeros.
impl Default for Params {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct SummaryWords {
    pub(crate) loss: f32,
    pub(crate) counted: u32,
    pub(crate) correct: u32,
    pub(crate) bad_targets: u32,
    pub(crate) first_bad_row: u32,
    pub(crate) first_bad_target: u32,
    pub(crate) grad_scale: f32,
    pub(crate) z_grad_scale: f32,
    pub(crate) sum_of_weights: f32,
    pub(crate) z_loss: f32,
    pub(crate) denominator: f32,
    pub(crate) z_denominator: f32,
    pub(crate) unused: [u32; 4],
}
