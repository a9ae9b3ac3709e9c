// f32, four neighbours to a word group. Needs: classes, strides and offsets that are multiples of four, inner = 1.

alias Packed = vec4<u32>;

fn load_quad(start: u32, quad: u32) -> vec4<u32> {
    if quad * 4u >= params.classes {
        return vec4<u32>(NEG_INF);
    }
    return read_logits((params.logits_offset + start) / 4u + quad);
}

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    if quad * 4u < params.classes {
        write_result((params.result_offset + start) / 4u + quad, bits);
    }
}

fn load_one(start: u32, class_index: u32) -> u32 {
    return read_logits((params.logits_offset + start + class_index) / 4u)[class_index % 4u];
}
