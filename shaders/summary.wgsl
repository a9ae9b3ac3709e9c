// What a loss leaves about a batch, in a buffer of 16 words that the caller may read. Rust twin: `u32s` in
// src/shader/params.rs; a test compares the two layouts.

struct Summary {
    // The reduced loss, as bits of f32.
    loss: u32,
    // Rows whose target is a class and not ignored, those of them whose argmax is the target, and rows whose target is
    // neither a class nor ignored.
    counted: u32,
    correct: u32,
    bad_targets: u32,
    // The first row with such a target, kept as its complement, so that it is found as a maximum and 0 means none; and
    // its target.
    first_bad_row: u32,
    first_bad_target: u32,
    // What the gradient of the cross-entropy and that of the z-loss are multiplied by: upstream / denominator.
    grad_scale: u32,
    z_grad_scale: u32,
    // Sum of the targets' weights, and of the z-losses.
    sum_of_weights: u32,
    z_loss: u32,
    // The mean's denominators.
    denominator: u32,
    z_denominator: u32,
    unused: array<u32, 4>,
}

const SUMMARY: u32 = 21u;
@group(0) @binding(SUMMARY) var<storage, read_write> summary: Summary;
