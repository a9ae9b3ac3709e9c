// After count_targets.wgsl: the mean's denominators, what the gradient is multiplied by (upstream / denominator), and the
// first bad target's value. Where a denominator is 0, that factor is what the mean over nothing gives. One invocation
// does it all.

//#import "bindings"
//#import "math"
//#import "summary"

// What the denominator is: `NormalizerKind` in src/shader/spec.rs.
override NORMALIZER_KIND: u32 = 0u;
const NORMALIZER_COUNTED: u32 = 1u;
const NORMALIZER_NUMBER: u32 = 2u;
const NORMALIZER_BUFFER: u32 = 3u;

const UPSTREAM: u32 = 22u;
@group(0) @binding(UPSTREAM) var<storage, read> upstream: array<f32>;

//#if HAS_NORMALIZER_BUFFER
const NORMALIZER: u32 = 23u;
@group(0) @binding(NORMALIZER) var<storage, read> normalizer: array<f32>;
//#end

fn scale_over(denominator: f32) -> u32 {
    let quotient = bitcast<u32>(upstream[offset_of(UPSTREAM)] / denominator);
    return select(quotient, select(NAN, 0u, params.empty_mean == EMPTY_MEAN_ZERO), denominator == 0.0);
}

@compute @workgroup_size(1)
fn main() {
    if HAS_TARGETS {
        let row = ~summary.first_bad_row - params.first_row;
        if summary.bad_targets > 0u && row < params.rows {
            summary.first_bad_target = targets_at(row);
        }
    } else {
        summary.counted = params.rows;
    }
    var denominator = 1.0;
    var z_denominator = 1.0;
    if NORMALIZER_KIND == NORMALIZER_COUNTED {
        z_denominator = f32(summary.counted);
        denominator = z_denominator;
        if HAS_WEIGHTS {
            denominator = bitcast<f32>(summary.sum_of_weights);
        }
    }
    if NORMALIZER_KIND == NORMALIZER_NUMBER {
        denominator = params.normalizer;
        z_denominator = denominator;
    }
    //#if HAS_NORMALIZER_BUFFER
    denominator = normalizer[offset_of(NORMALIZER)];
    z_denominator = denominator;
    //#end
    summary.grad_scale = scale_over(denominator);
    // Where the mean is over nothing, the z-losses get the same scale as the rest.
    summary.z_grad_scale = select(scale_over(z_denominator), summary.grad_scale, denominator == 0.0);
    summary.denominator = bitcast<u32>(denominator);
    summary.z_denominator = bitcast<u32>(z_denominator);
}
