// m + ln d of each row.

const HAS_LSE: bool = true;
@group(0) @binding(7) var<storage, read_write> lse: array<u32>;

fn put_lse(row: u32, bits: u32) {
    lse[offset_of(7u) + row] = bits;
}
