// What is laid out as the logits are, as the bits of f32: the logits, and up to two more matrices of the same type.

const LOGITS: u32 = 1u;
const RESULT: u32 = 2u;
const OTHER: u32 = 12u;
const THIRD: u32 = 13u;

fn read_source(which: u32, i: u32) -> Source {
    if which == OTHER {
        return read_other(i);
    }
    if which == THIRD {
        return read_third(i);
    }
    return read_logits(i);
}

// Missing classes count as -inf.
fn load_quad(start: u32, quad: u32) -> vec4<u32> {
    return source_quad(LOGITS, start, quad, NEG_INF);
}

// The quad of a class, of which only that class is sure to be loaded.
fn load_around(start: u32, class_index: u32) -> vec4<u32> {
    return source_around(LOGITS, start, class_index);
}

fn other_quad(start: u32, quad: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(source_quad(OTHER, start, quad, 0u));
}

fn third_quad(start: u32, quad: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(source_quad(THIRD, start, quad, 0u));
}

fn classes_of(quad: u32) -> vec4<u32> {
    return vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
}
