// See option/on/argmax.wgsl.

const HAS_ARGMAX: bool = false;

fn put_argmax(row: u32, bits: u32) {
}
