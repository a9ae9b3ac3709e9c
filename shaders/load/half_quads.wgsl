// 16 bits, four neighbours at once. Needs: classes, strides and offsets that are multiples of four, inner = 1.

alias Source = vec2<u32>;

fn source_quad(which: u32, start: u32, quad: u32, fill: u32) -> vec4<u32> {
    // Without a branch, which lanes would take turns in.
    let quads = class_count() / 4u;
    let words = read_source(which, (offset_of(which) + start) / 4u + min(quad, quads - 1u));
    let bits = widen4(vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
    return select(bits, vec4<u32>(fill), quad >= quads);
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    return source_quad(which, start, class_index / 4u, 0u);
}
