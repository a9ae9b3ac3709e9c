// f32, one element at a time: any number of classes, any stride, any offset, the class axis anywhere.

alias Packed = u32;

fn load_one(start: u32, class_index: u32) -> u32 {
    return read_logits(params.logits_offset + start + class_index * params.inner);
}

fn load_or_none(start: u32, class_index: u32) -> u32 {
    if class_index >= params.classes {
        return NEG_INF;
    }
    return load_one(start, class_index);
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

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    let c = quad * 4u;
    for (var i = 0u; i < 4u; i++) {
        if c + i < params.classes {
            write_result(params.result_offset + start + (c + i) * params.inner, bits[i]);
        }
    }
}
