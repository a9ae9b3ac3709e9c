// f16 to f32, bits to bits: always exact, and without the adapter's f16, which may flush what is small.

fn widen4(halves: vec4<u32>) -> vec4<u32> {
    let sign = (halves & vec4<u32>(0x8000u)) << vec4<u32>(16u);
    let magnitude = halves & vec4<u32>(0x7fffu);
    var bits = (magnitude << vec4<u32>(13u)) + vec4<u32>(112u << 23u);
    // NaN and infinity have the highest exponent here and there.
    bits = select(bits, bits + vec4<u32>(112u << 23u), magnitude >= vec4<u32>(0x7c00u));
    // Subnormal numbers are multiples of 2^-24.
    let small = bitcast<vec4<u32>>(vec4<f32>(magnitude) * vec4<f32>(5.9604644775390625e-8));
    return sign | select(bits, small, magnitude < vec4<u32>(0x0400u));
}
