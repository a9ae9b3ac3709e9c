// Four elements, one at a time: what `source_one` finds, widened.

fn source_quad(which: u32, start: u32, quad: u32, fill: u32) -> vec4<u32> {
    let c = quad * 4u;
    let stored = vec4<u32>(
        source_one(which, start, c),
        source_one(which, start, c + 1u),
        source_one(which, start, c + 2u),
        source_one(which, start, c + 3u),
    );
    return select(widen4(stored), vec4<u32>(fill), classes_of(quad) >= vec4<u32>(class_count()));
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    return widen4(vec4<u32>(source_one(which, start, class_index)));
}
