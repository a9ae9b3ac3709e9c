// After targets.wgsl has counted: the mean's denominators, the gradient's factors = upstream / denominator, and the first
// bad target's value. Where a denominator is 0 a factor is what the mean of nothing is. One invocation.

// 0 no mean, 1 over the targets that count, 2 over the number in params.normalizer, 3 over the number in `factor`.
override MEAN_KIND: u32 = 0u;

@group(0) @binding(2) var<storage, read_write> summary: array<u32>;
@group(0) @binding(3) var<storage, read> upstream: array<f32>;

fn factor_over(denominator: f32) -> u32 {
    let quotient = bitcast<u32>(upstream[offset_of(3u)] / denominator);
    return select(quotient, select(NAN, 0u, params.policy == 1u), denominator == 0.0);
}

@compute @workgroup_size(1)
fn main() {
    if HAS_TARGETS {
        let row = ~summary[4] - params.first_row;
        if summary[3] > 0u && row < params.rows {
            summary[5] = targets_at(row);
        }
    } else {
        summary[1] = params.rows;
    }
    var denominator = 1.0;
    var of_rows = 1.0;
    if MEAN_KIND == 1u {
        of_rows = f32(summary[1]);
        denominator = of_rows;
        if HAS_WEIGHTS {
            denominator = bitcast<f32>(summary[8]);
        }
    }
    if MEAN_KIND > 1u {
        denominator = params.normalizer;
        if MEAN_KIND == 3u {
            denominator = factor_at(0u);
        }
        of_rows = denominator;
    }
    summary[6] = factor_over(denominator);
    // A mean over nothing is all of it nothing.
    summary[7] = select(factor_over(of_rows), summary[6], denominator == 0.0);
    summary[10] = bitcast<u32>(denominator);
    summary[11] = bitcast<u32>(of_rows);
}
