// 16 bits, two neighbours at once. Needs: classes, strides and offsets that are even, inner = 1.

alias Source = u32;

fn source_pair(which: u32, start: u32, pair: u32) -> vec2<u32> {
    // Without a branch, which lanes would take turns in.
    let word = read_source(which, (offset_of(which) + start) / 2u + min(pair, class_count() / 2u - 1u));
    return vec2<u32>(word & 0xffffu, word >> 16u);
}
