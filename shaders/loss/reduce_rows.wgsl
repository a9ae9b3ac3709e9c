// Sum of one number a row (losses, z-losses, weights), in the canonical order of row/registers.wgsl: 1,024 of them to a
// partial sum, then 1,024 partial sums to one, until one is left, which goes to the summary. Each value is read once, by
// the lane that owns its vec4. Rust twin: `total` in src/twin.rs.

//#import "row/registers"
//#import "summary"

//#if !IS_FINAL
@group(0) @binding(RESULT) var<storage, read_write> result: array<u32>;
//#end

// What the last sum is: `FinalSum` in src/shader/spec.rs.
override FINAL_SUM: u32 = 0u;
const FINAL_LOSS: u32 = 1u;
const FINAL_WEIGHTS: u32 = 2u;
const FINAL_Z_LOSS: u32 = 3u;

// The mean of the losses, from their sum.
fn mean_bits(bits: u32) -> u32 {
    let sum = bitcast<f32>(bits);
    let magnitude = bits & 0x7fffffffu;
    let denominator = bitcast<f32>(summary.denominator);
    if denominator == 0.0 || magnitude > POS_INF {
        return select(NAN, 0u, params.empty_mean == EMPTY_MEAN_ZERO && magnitude <= POS_INF);
    }
    if magnitude == POS_INF {
        return bits ^ (summary.denominator & 0x80000000u);
    }
    let z_denominator = bitcast<f32>(summary.z_denominator);
    if HAS_Z_LOSS && z_denominator != denominator {
        let z = bitcast<f32>(summary.z_loss);
        return bitcast<u32>((sum - z) / denominator + z / z_denominator);
    }
    return bitcast<u32>(sum / denominator);
}

fn term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, base: f32) -> vec4<f32> {
    return select(bitcast<vec4<f32>>(bits), vec4<f32>(0.0), classes_of(index) >= vec4<u32>(params.classes));
}

fn run(lane: Lane) {
    let chunk = lane.row;
    load_chunk(0u, chunk, lane);
    let max_key = chunk_max(lane);
    let sum = chunk_sums(SUM, ChunkView(0u, chunk, 0.0), lane).x;
    var bits = bitcast<u32>(sum);
    if has_nan_or_inf(max_key) {
        // The sum is this maximum, +inf or NaN, unless a -inf (of nll_loss) among the values makes it NaN.
        let is_nan = (bits & 0x7fffffffu) > POS_INF;
        bits = select(bits_of_key(max_key), NAN, is_nan);
    }
    if lane.index == 0u && lane.live {
        //#if IS_FINAL
        if IS_MEAN {
            bits = mean_bits(bits);
        }
        if FINAL_SUM == FINAL_LOSS {
            summary.loss = bits;
        }
        if FINAL_SUM == FINAL_WEIGHTS {
            summary.sum_of_weights = bits;
        }
        if FINAL_SUM == FINAL_Z_LOSS {
            summary.z_loss = bits;
        }
        //#else
        result[offset_of(RESULT) + chunk] = bits;
        //#end
    }
}
