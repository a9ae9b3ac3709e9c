// Four elements, two at a time: what `source_pair` finds, widened.

fn source_quad(which: u32, start: u32, quad: u32, fill: u32) -> vec4<u32> {
    let stored = vec4<u32>(source_pair(which, start, quad * 2u), source_pair(which, start, quad * 2u + 1u));
    return select(widen4(stored), vec4<u32>(fill), classes_of(quad) >= vec4<u32>(class_count()));
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    let pair = source_pair(which, start, class_index / 2u);
    return widen4(vec4<u32>(pair, pair));
}
