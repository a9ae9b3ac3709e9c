// f32 to bf16, bits to bits: to the nearest, ties to even; NaN stays NaN.

fn narrow4(bits: vec4<u32>) -> vec4<u32> {
    let one = vec4<u32>(1u);
    let rounded = (bits + vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & one)) >> vec4<u32>(16u);
    return select(rounded, vec4<u32>(NAN >> 16u), (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(POS_INF));
}
