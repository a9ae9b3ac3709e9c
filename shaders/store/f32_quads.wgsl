// f32, four neighbours at once: see load/f32_quads.wgsl.

const HAS_RESULT: bool = true;
alias Packed = vec4<u32>;

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    if quad * 4u < class_count() {
        result[(offset_of(RESULT) + start) / 4u + quad] = bits;
    }
}
