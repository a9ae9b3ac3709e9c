// Sum of one number a row (losses, z-losses, weights), in the canonical order of chunk.wgsl: 1,024 of them to a partial
// sum, then 1,024 partial sums to one, until one is left, which FINAL marks. Each value is read once, by the lane that
// owns its quad. Twin: twin::total.

override FINAL: bool = false;
// The word of the summary that the sum goes to. Word 0 is the loss, with a mean's denominators applied.
override FINAL_WORD: u32 = 0u;
override MEAN: bool = false;
override HAS_Z_LOSS: bool = false;

@group(0) @binding(3) var<storage, read_write> summary: array<u32>;

fn mean_bits(bits: u32) -> u32 {
    let sum = bitcast<f32>(bits);
    let size = bits & 0x7fffffffu;
    let denominator = bitcast<f32>(summary[10]);
    if denominator == 0.0 || size > POS_INF {
        return select(NAN, 0u, params.policy == 1u && size <= POS_INF);
    }
    if size == POS_INF {
        return bits ^ (summary[10] & 0x80000000u);
    }
    let other = bitcast<f32>(summary[11]);
    if HAS_Z_LOSS && other != denominator {
        let z = bitcast<f32>(summary[9]);
        return bitcast<u32>((sum - z) / denominator + z / other);
    }
    return bitcast<u32>(sum / denominator);
}

fn term_quad(kind: u32, bits: vec4<u32>, start: u32, quad: u32, largest: f32) -> vec4<f32> {
    return select(bitcast<vec4<f32>>(bits), vec4<f32>(0.0), classes_of(quad) >= vec4<u32>(params.classes));
}

fn flaw_quad(bits: vec4<u32>, start: u32, quad: u32) -> i32 {
    return 0;
}

fn run(lane: Lane) {
    let chunk = lane.row;
    hold(0u, chunk, lane);
    let key = held_max(lane);
    let sum = held_sum(SUM, Place(0u, chunk, 0.0), lane);
    var bits = bitcast<u32>(sum);
    if is_odd(key) {
        // +inf, unless a -inf (of nll_loss) stands against it.
        let is_nan = (bits & 0x7fffffffu) > POS_INF;
        bits = select(bits_of(key), NAN, is_nan);
    }
    if lane.index == 0u && lane.live {
        if FINAL {
            if MEAN {
                bits = mean_bits(bits);
            }
            summary[FINAL_WORD] = bits;
        } else {
            result[offset_of(RESULT) + chunk] = bits;
        }
    }
}
