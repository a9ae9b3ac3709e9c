// f32, one element at a time: any number of classes, any stride, any offset, the class axis anywhere.

alias Source = u32;

fn source_one(which: u32, start: u32, class_index: u32) -> u32 {
    // Without a branch, which lanes would take turns in.
    return read_source(which, offset_of(which) + start + min(class_index, params.classes - 1u) * params.inner);
}

fn source_quad(which: u32, start: u32, quad: u32, fill: u32) -> vec4<u32> {
    let c = quad * 4u;
    let bits = vec4<u32>(
        source_one(which, start, c),
        source_one(which, start, c + 1u),
        source_one(which, start, c + 2u),
        source_one(which, start, c + 3u),
    );
    return select(bits, vec4<u32>(fill), classes_of(quad) >= vec4<u32>(params.classes));
}
