// See option/on/log_prob.wgsl.

const HAS_LOG_PROB: bool = false;

fn put_log_prob(row: u32, bits: u32) {
}
