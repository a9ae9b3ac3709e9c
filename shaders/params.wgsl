// The numbers of one dispatch, and where a kernel finds its part of each buffer. Rust twin: `Params` in
// src/shader/params.rs; a test compares the two layouts.

struct Params {
    // Rows of this dispatch, and classes of each, or with IS_RAGGED those of the longest, or somewhat more.
    rows: u32,
    classes: u32,
    // Element (row, class) is at (row / inner) * outer_stride + row % inner + class * inner, plus its buffer's offset.
    inner: u32,
    outer_stride: u32,
    // The number of this dispatch's first row in the whole batch.
    first_row: u32,
    // Work-groups are arranged in two dimensions, with this many in the first.
    groups_x: u32,
    // Work-groups that share a row (schedule/split.wgsl), and spans of a row (row/spans.wgsl).
    pieces: u32,
    spans: u32,
    // One of the FULLY_MASKED constants below.
    fully_masked: u32,
    ignore_index: u32,
    // The gradient of row r is scaled by grad_scale[offset + r * grad_scale_stride]; with a stride of 0, there are two
    // numbers, one for the z-losses: those that loss/finish.wgsl left in the summary, or that the host knows.
    grad_scale_stride: u32,
    // Always 0, which no compiler knows: see `opaque` and `one` in math.wgsl.
    zero: u32,
    // a = softcap(scale * x + bias) + mask: see adjust.wgsl.
    scale: f32,
    softcap: f32,
    softcap_reciprocal: f32,
    // Row r of each `causal_group` rows sees classes 0 ..= r + causal_offset.
    causal_group: u32,
    causal_offset: i32,
    // 1 - label_smoothing, label_smoothing / classes, and the label smoothing itself.
    one_minus_smoothing: f32,
    smoothing_per_class: f32,
    smoothing: f32,
    z_loss: f32,
    // The mean's denominator, where the caller or the shape gives it.
    normalizer: f32,
    // One of the EMPTY_MEAN constants below.
    empty_mean: u32,
    // Rows of the whole batch, where `rows` counts partial results of loss/reduce.wgsl.
    batch_rows: u32,
    // Words from the parameters of a row to those of the next, 0 if all rows share them; likewise of the bits of allowed
    // classes, and of the edits (sample/values.wgsl).
    sample_stride: u32,
    allowed_stride: u32,
    edits_stride: u32,
    // Tokens of a row's history, biased classes of a row, and how far those of the next row are, 0 if all share them.
    history_length: u32,
    bias_length: u32,
    bias_stride: u32,
    // The number of classes with the largest log-probabilities that are asked for.
    top_n: u32,
    // Tokens that a draft has of each sequence, which has one row more.
    draft_length: u32,
    // With IS_SHARD, the classes of the row that are here, and their spans: how many, and the first of them.
    shard_classes: u32,
    first_class: u32,
    shard_spans: u32,
    first_span: u32,
    // Words from the sink of a row to that of the next, 0 if all rows share it.
    sink_stride: u32,
    // The inverse of the temperature of a teacher's logits, and what the loss and the gradient are multiplied by.
    teacher_scale: f32,
    loss_scale: f32,
    unused: u32,
    // For each binding, the offset of its data, in elements of its buffer; there is room for 52.
    offsets: array<vec4<u32>, 13>,
}

// What a row of -inf alone gives.
const FULLY_MASKED_NAN: u32 = 0u;
const FULLY_MASKED_ZEROS: u32 = 1u;
const FULLY_MASKED_UNIFORM: u32 = 2u;

// What the mean over nothing gives.
const EMPTY_MEAN_NAN: u32 = 0u;
const EMPTY_MEAN_ZERO: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;

// The only number of classes that the kernel is made for, or 0 for any. Checks of bounds that a compiler knows cost
// nothing.
override CLASSES: u32 = 0u;

fn class_count() -> u32 {
    if CLASSES > 0u {
        return CLASSES;
    }
    //#if IS_RAGGED
    return row_classes;
    //#else
    return params.classes;
    //#end
}

//#if IS_SHARD
// The class after the last that is here, and the place of one in memory, where `width` classes are a word of some kind.
fn end_class() -> u32 {
    return params.first_class + params.shard_classes;
}

fn place_of(i: u32, width: u32) -> u32 {
    return i - params.first_class / width;
}

// The class, or if it is elsewhere one that is here.
fn class_here(class_index: u32) -> u32 {
    return clamp(class_index, params.first_class, end_class() - 1u);
}
//#else
fn end_class() -> u32 {
    return class_count();
}

fn class_here(class_index: u32) -> u32 {
    return min(class_index, class_count() - 1u);
}

fn place_of(i: u32, width: u32) -> u32 {
    return i;
}
//#end

fn offset_of(slot: u32) -> u32 {
    return params.offsets[slot / 4u][slot % 4u];
}
