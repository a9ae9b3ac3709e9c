// The end of loss/reduce.wgsl: the mean's denominators, the mean, what the gradient is multiplied by, and the summary.

//#import "bindings"
//#import "loss/scale"
//#import "summary"

// What is counted of rows, as in the summary.
struct Counts {
    counted: u32,
    correct: u32,
    bad_targets: u32,
    // The complement of the first such row, and its target.
    first_bad_row: u32,
    first_bad_target: u32,
    // Whether this lane has met that row.
    has_met_it: bool,
}

fn no_counts() -> Counts {
    return Counts(0u, 0u, 0u, 0u, 0u, false);
}

// Sums over all rows, as bits of f32.
struct Sums {
    losses: u32,
    z_losses: u32,
    weights: u32,
    row_weights: u32,
}

// What the denominators are: `NormalizerKind` in src/shader/spec.rs.
override NORMALIZER_KIND: u32 = 0u;
const NORMALIZER_COUNTED: u32 = 1u;
const NORMALIZER_NUMBER: u32 = 2u;
const NORMALIZER_BUFFER: u32 = 3u;
const NORMALIZER_SUMMARY: u32 = 4u;

//#if HAS_NORMALIZER_BUFFER
const NORMALIZER: u32 = 23u;
@group(0) @binding(NORMALIZER) var<storage, read> normalizer: array<f32>;
//#end

// Of the losses, and of the z-losses among them.
struct Denominators {
    losses: f32,
    z_losses: f32,
}

fn denominators(counted: u32, total: Sums) -> Denominators {
    //#if HAS_NORMALIZER_BUFFER
    let given = normalizer[offset_of(NORMALIZER)];
    return Denominators(given, given);
    //#else
    if NORMALIZER_KIND == NORMALIZER_COUNTED {
        var by = Denominators(f32(counted), f32(counted));
        if SUMS_WEIGHTS {
            // A mean by what has overflowed would be 0, and would not show.
            by.losses = bitcast<f32>(select(total.weights, NAN, is_nan_or_inf(total.weights)));
        }
        if HAS_ROW_WEIGHTS {
            by.z_losses = select(by.losses, bitcast<f32>(total.row_weights), SUMS_ROW_WEIGHTS);
        }
        return by;
    }
    if NORMALIZER_KIND == NORMALIZER_NUMBER {
        return Denominators(params.normalizer, params.normalizer);
    }
    if NORMALIZER_KIND == NORMALIZER_SUMMARY {
        return Denominators(bitcast<f32>(summary.denominator), bitcast<f32>(summary.z_denominator));
    }
    return Denominators(1.0, 1.0);
    //#end
}

// The mean of the losses, from their sum.
fn mean_bits(total: Sums, by: Denominators) -> u32 {
    let sum = bitcast<f32>(total.losses);
    let magnitude = total.losses & 0x7fffffffu;
    let is_nan = max(magnitude, bitcast<u32>(by.losses) & 0x7fffffffu) > POS_INF;
    if by.losses == 0.0 || is_nan {
        return select(NAN, 0u, params.empty_mean == EMPTY_MEAN_ZERO && !is_nan);
    }
    if magnitude == POS_INF {
        return total.losses ^ (bitcast<u32>(by.losses) & 0x80000000u);
    }
    if SUMS_Z_LOSSES && by.z_losses != by.losses {
        let z = bitcast<f32>(total.z_losses);
        return bitcast<u32>((sum - z) / by.losses + z / by.z_losses);
    }
    return bitcast<u32>(sum / by.losses);
}

// Lane 0 writes, and of the first bad target the lane that has met it.
fn finish(total: Sums, counts: Counts, local: u32) {
    if WRITES_ALL && counts.has_met_it {
        summary.first_bad_target = counts.first_bad_target;
    }
    if local > 0u {
        return;
    }
    let by = denominators(counts.counted, total);
    summary.loss = total.losses;
    if IS_MEAN {
        summary.loss = mean_bits(total, by);
    }
    summary.z_loss = total.z_losses;
    summary.correct = counts.correct;
    if WRITES_ALL {
        summary.counted = select(params.batch_rows, counts.counted, COUNTS_TARGETS);
        summary.bad_targets = counts.bad_targets;
        summary.first_bad_row = counts.first_bad_row;
        if counts.bad_targets == 0u {
            summary.first_bad_target = 0u;
        }
        summary.sum_of_weights = total.weights;
        summary.denominator = bitcast<u32>(by.losses);
        summary.z_denominator = bitcast<u32>(by.z_losses);
        summary.grad_scale = 0u;
        summary.z_grad_scale = 0u;
        summary.unused = array<u32, 4>(0u, 0u, 0u, 0u);
    }
    //#if HAS_UPSTREAM
    let scale = scale_over(upstream[offset_of(UPSTREAM)], by.losses);
    summary.grad_scale = scale;
    // Where the mean is over nothing, the z-losses get the same scale as the rest.
    let z_scale = scale_over(upstream[offset_of(UPSTREAM)], by.z_losses);
    summary.z_grad_scale = select(z_scale, scale, by.losses == 0.0);
    //#end
}
