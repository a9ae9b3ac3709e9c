// f32, one element at a time: see load/f32_singles.wgsl.

const HAS_RESULT: bool = true;
alias Packed = u32;

fn store_one(start: u32, class_index: u32, bits: u32) {
    if class_index < class_count() {
        result[offset_of(RESULT) + start + class_index * params.inner] = bits;
    }
}

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let c = quad * 4u;
    store_one(start, c, bits.x);
    store_one(start, c + 1u, bits.y);
    store_one(start, c + 2u, bits.z);
    store_one(start, c + 3u, bits.w);
}
