// f32 to f16, bits to bits: to the nearest, ties to even; what is too large becomes infinite; NaN stays NaN.

fn narrow4(bits: vec4<u32>) -> vec4<u32> {
    let one = vec4<u32>(1u);
    let sign = (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    let rebased = magnitude - vec4<u32>(112u << 23u);
    let normal = (rebased + vec4<u32>(0xfffu) + ((rebased >> vec4<u32>(13u)) & one)) >> vec4<u32>(13u);
    // Under 2^-14: how many times 2^-24, which is what the last bit of 0.5 is worth.
    let small = bitcast<vec4<u32>>(bitcast<vec4<f32>>(magnitude) + vec4<f32>(0.5)) - vec4<u32>(0x3f000000u);
    var halves = select(normal, small, magnitude < vec4<u32>(0x38800000u));
    // From 65,520 on.
    halves = select(halves, vec4<u32>(0x7c00u), magnitude >= vec4<u32>(0x477ff000u));
    return sign | select(halves, vec4<u32>(0x7e00u), magnitude > vec4<u32>(POS_INF));
}
