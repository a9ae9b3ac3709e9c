// The numbers of one dispatch. Twin: `Params` in src/shader.rs; a test compares the two layouts.

struct Params {
    // Rows of this dispatch, and classes of each.
    rows: u32,
    classes: u32,
    // Element (row, class) is at (row / inner) * outer_stride + row % inner + class * inner, plus its buffer's offset.
    inner: u32,
    outer_stride: u32,
    logits_offset: u32,
    result_offset: u32,
    // Where the first row stands in what is bound of the buffers of one word a row, and in the whole batch.
    targets_offset: u32,
    loss_offset: u32,
    lse_offset: u32,
    argmax_offset: u32,
    first_row: u32,
    // Work-groups are folded into two dimensions, this many wide.
    groups_x: u32,
    // Work-groups that share a row (schedule/split.wgsl); spans of a row (spans.wgsl).
    pieces: u32,
    spans: u32,
    // What a row of -inf alone gives: 0 NaN, 1 zeros, 2 uniform. What the mean of no rows gives: 0 NaN, 1 zero.
    policy: u32,
    ignore_index: u32,
    // Row r's factor of the gradient is scale[scale_offset + r * scale_stride].
    scale_offset: u32,
    scale_stride: u32,
    // Always 0, but no compiler knows: see `opaque` in math.wgsl.
    zero: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
