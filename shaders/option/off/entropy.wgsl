// See option/on/entropy.wgsl.

const HAS_ENTROPY: bool = false;

fn put_entropy(row: u32, bits: u32) {
}
