// 16 bits, two neighbours at once: see load/half_pairs.wgsl.

const HAS_RESULT: bool = true;
alias Packed = u32;

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let halves = narrow4(bits);
    let at = (offset_of(RESULT) + start) / 2u + quad * 2u;
    if quad * 4u < class_count() {
        result[at] = halves.x | (halves.y << 16u);
    }
    if quad * 4u + 2u < class_count() {
        result[at + 1u] = halves.z | (halves.w << 16u);
    }
}
