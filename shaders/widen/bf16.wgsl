// bf16 to f32, bits to bits: always exact.

fn widen4(halves: vec4<u32>) -> vec4<u32> {
    return halves << vec4<u32>(16u);
}
