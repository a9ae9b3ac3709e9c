// f32, four neighbours to a word group. Needs: classes, strides and offsets that are multiples of four, inner = 1.

alias Packed = vec4<u32>;

fn load_quad(start: u32, quad: u32) -> vec4<u32> {
    // Without a branch, which lanes would take turns in.
    let quads = params.classes / 4u;
    let bits = read_logits((params.logits_offset + start) / 4u + min(quad, quads - 1u));
    return select(bits, vec4<u32>(NEG_INF), quad >= quads);
}

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
    if quad * 4u < params.classes {
        write_result((params.result_offset + start) / 4u + quad, bits);
    }
}

fn load_one(start: u32, class_index: u32) -> u32 {
    return read_logits((params.logits_offset + start + class_index) / 4u)[class_index % 4u];
}
