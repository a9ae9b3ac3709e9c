// The first largest class of each row.

const HAS_ARGMAX: bool = true;
@group(0) @binding(8) var<storage, read_write> argmax: array<u32>;

fn put_argmax(row: u32, bits: u32) {
    argmax[offset_of(8u) + row] = bits;
}
