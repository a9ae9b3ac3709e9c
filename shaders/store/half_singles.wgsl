// 16 bits, one element at a time: see load/half_singles.wgsl. A word may be shared with another lane or row, or with
// what is none of ours, so each half is put in by itself.

const HAS_RESULT: bool = true;
alias Packed = atomic<u32>;

fn store_one(start: u32, class_index: u32, bits: u32) {
    if class_index < class_count() {
        let element = offset_of(RESULT) + start + class_index * params.inner;
        let shift = 16u * (element % 2u);
        atomicAnd(&result[element / 2u], ~(0xffffu << shift));
        atomicOr(&result[element / 2u], bits << shift);
    }
}

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let halves = narrow4(bits);
    let c = quad * 4u;
    let element = offset_of(RESULT) + start + c;
    if params.inner == 1u && element % 2u == 0u && c + 3u < class_count() {
        atomicStore(&result[element / 2u], halves.x | (halves.y << 16u));
        atomicStore(&result[element / 2u + 1u], halves.z | (halves.w << 16u));
        return;
    }
    store_one(start, c, halves.x);
    store_one(start, c + 1u, halves.y);
    store_one(start, c + 2u, halves.z);
    store_one(start, c + 3u, halves.w);
}
