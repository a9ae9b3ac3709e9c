// f32 as it is.

fn widen4(stored: vec4<u32>) -> vec4<u32> {
    return stored;
}
