// See option/on/lse.wgsl.

const HAS_LSE: bool = false;

fn put_lse(row: u32, bits: u32) {
}
