// What a gradient is multiplied by.

//#import "math"

// upstream / denominator, as bits; where the denominator is 0, what the mean over nothing gives.
fn scale_over(upstream: f32, denominator: f32) -> u32 {
    let quotient = bitcast<u32>(upstream / denominator);
    return select(quotient, select(NAN, 0u, params.empty_mean == EMPTY_MEAN_ZERO), denominator == 0.0);
}
