// f32, two neighbours at once: see load/f32_pairs.wgsl.

const HAS_RESULT: bool = true;
alias Packed = vec2<u32>;

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let at = (offset_of(RESULT) + start) / 2u + quad * 2u;
    if quad * 4u < class_count() {
        result[at] = bits.xy;
    }
    if quad * 4u + 2u < class_count() {
        result[at + 1u] = bits.zw;
    }
}
