// 16 bits, four neighbours at once: see load/half_quads.wgsl.

const HAS_RESULT: bool = true;
alias Packed = vec2<u32>;

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    if quad * 4u < class_count() {
        let halves = narrow4(bits);
        let words = vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
        result[(offset_of(RESULT) + start) / 4u + quad] = words;
    }
}
