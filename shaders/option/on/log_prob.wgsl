// The logarithm of the target's probability.

const HAS_LOG_PROB: bool = true;
@group(0) @binding(10) var<storage, read_write> log_prob: array<u32>;

fn put_log_prob(row: u32, bits: u32) {
    log_prob[offset_of(10u) + row] = bits;
}
