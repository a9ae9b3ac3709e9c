// What a loss leaves about a batch, in a buffer of 16 words that the caller may read. Rust twin: `SummaryWords` in
// src/shader/params.rs; a test compares the two layouts.

//#if SUMMARY_IS_ATOMIC
alias SummaryWord = atomic<u32>;
//#else
alias SummaryWord = u32;
//#end

struct Summary {
    // The reduced loss, as bits of f32.
    loss: SummaryWord,
    // Rows whose target is a class and not ignored, those of them whose argmax is the target, and rows whose target is
    // neither a class nor ignored.
    counted: SummaryWord,
    correct: SummaryWord,
    bad_targets: SummaryWord,
    // The first row with such a target, kept as its complement, so that it is found as a maximum and 0 means none; and
    // its target.
    first_bad_row: SummaryWord,
    first_bad_target: SummaryWord,
    // What the gradient of the cross-entropy and that of the z-loss are multiplied by: upstream / denominator.
    grad_scale: SummaryWord,
    z_grad_scale: SummaryWord,
    // Sum of the targets' weights, and of the z-losses.
    sum_of_weights: SummaryWord,
    z_loss: SummaryWord,
    // The mean's denominators.
    denominator: SummaryWord,
    z_denominator: SummaryWord,
    unused: array<u32, 4>,
}

const SUMMARY: u32 = 21u;
@group(0) @binding(SUMMARY) var<storage, read_write> summary: Summary;
