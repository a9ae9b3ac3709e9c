// The numbers of one dispatch. Twin: `Params` in src/shader.rs; a test compares the two layouts.

struct Params {
    // Rows of this dispatch, and classes of each.
    rows: u32,
    classes: u32,
    // Element (row, class) is at (row / inner) * outer_stride + row % inner + class * inner, plus its buffer's offset.
    inner: u32,
    outer_stride: u32,
    // Where the first row stands in the whole batch.
    first_row: u32,
    // Work-groups are folded into two dimensions, this many wide.
    groups_x: u32,
    // Work-groups that share a row (schedule/split.wgsl); spans of a row (spans.wgsl).
    pieces: u32,
    spans: u32,
    // What a row of -inf alone gives: 0 NaN, 1 zeros, 2 uniform. What the mean of no rows gives: 0 NaN, 1 zero.
    policy: u32,
    ignore_index: u32,
    // Row r's factor of the gradient is factor[offset + r * factor_stride], or the two that settle.wgsl left there.
    factor_stride: u32,
    // Always 0, but no compiler knows: see `opaque` in math.wgsl.
    zero: u32,
    // a = softcap(scale * x + bias) + mask: see value/shaped.wgsl.
    scale: f32,
    softcap: f32,
    softcap_inverse: f32,
    // Row r of each `causal_group` rows sees classes 0 ..= r + causal_offset.
    causal_group: u32,
    causal_offset: i32,
    // 1 - label_smoothing, label_smoothing / classes, and the label smoothing itself.
    kept: f32,
    spread: f32,
    smoothing: f32,
    z_loss: f32,
    // The mean's denominator, where the caller or the shape gives it.
    normalizer: f32,
    unused_1: u32,
    unused_2: u32,
    // In elements of its buffer, for each binding.
    offsets: array<vec4<u32>, 5>,
}

@group(0) @binding(0) var<uniform> params: Params;

// The only number of classes that the kernel is made for, or 0 for any: bounds that a compiler knows cost nothing.
override CLASSES: u32 = 0u;

fn class_count() -> u32 {
    if CLASSES > 0u {
        return CLASSES;
    }
    return params.classes;
}

fn offset_of(slot: u32) -> u32 {
    return params.offsets[slot / 4u][slot % 4u];
}
