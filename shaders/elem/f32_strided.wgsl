// f32, one element at a time: any number of classes, any stride, any offset, the class axis anywhere.

alias Packed = u32;

fn load_one(start: u32, class_index: u32) -> u32 {
    return read_logits(params.logits_offset + start + class_index * params.inner);
}

fn load_or_none(start: u32, class_index: u32) -> u32 {
    // Without a branch, which lanes would take turns in.
    let bits = load_one(start, min(class_index, params.classes - 1u));
    return select(bits, NEG_INF, class_index >= params.classes);
}

fn load_quad(start: u32, quad: u32) -> vec4<u32> {
    let c = quad * 4u;
    return vec4<u32>(
        load_or_none(start, c),
        load_or_none(start, c + 1u),
        load_or_none(start, c + 2u),
        load_or_none(start, c + 3u),
    );
}

fn store_one(start: u32, class_index: u32, bits: u32) {
    if class_index < params.classes {
        write_result(params.result_offset + start + class_index * params.inner, bits);
    }
}

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let c = quad * 4u;
    store_one(start, c, bits.x);
    store_one(start, c + 1u, bits.y);
    store_one(start, c + 2u, bits.z);
    store_one(start, c + 3u, bits.w);
}
