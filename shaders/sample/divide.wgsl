// Division as IEEE 754 rounds it, which WGSL does not promise: 24 bits of the quotient from a reciprocal, which may be off
// by a few, and then the remainder in integers. Rust twin: `divide` in src/twin/sample.rs.

//#import "math"

// a / d of a finite a and a positive normal d. What is below 2^-126 is 0, and what would overflow the largest number.
fn divide_rounded(a: f32, d: f32) -> f32 {
    let bits = bitcast<u32>(a);
    let magnitude = bits & 0x7fffffffu;
    if magnitude < 0x00800000u {
        return 0.0;
    }
    let n = (magnitude & 0x007fffffu) | 0x00800000u;
    let m = (bitcast<u32>(d) & 0x007fffffu) | 0x00800000u;
    let is_below_one = n < m;
    let shift = select(23u, 24u, is_below_one);
    let one_to_two = bitcast<f32>((m & 0x007fffffu) | 0x3f800000u);
    let guess = mul(bitcast<f32>((n & 0x007fffffu) | 0x3f800000u), reciprocal(one_to_two));
    var quotient = u32(guess * select(8388608.0, 16777216.0, is_below_one));
    // Remainders are small, so their low 32 bits are all there is.
    var remainder = bitcast<i32>((n << shift) - quotient * m);
    for (var i = 0u; i < 4u; i++) {
        let step = select(select(0, -1, 2 * remainder < -i32(m)), 1, 2 * remainder > i32(m));
        quotient += u32(step);
        remainder -= step * i32(m);
    }
    let exponent = i32(magnitude >> 23u) - i32(bitcast<u32>(d) >> 23u) + select(127, 126, is_below_one);
    // A quotient that is rounded up to 2^24 goes into the exponent.
    let result = (exponent << 23u) + i32(quotient) - 0x00800000;
    let normal = select(result, 0x7f7fffff, exponent > 254 || result >= 0x7f800000);
    let flushed = select(normal, 0, exponent < 0 || (exponent == 0 && result < 0x00800000));
    return bitcast<f32>(bitcast<u32>(flushed) | select(0u, bits & 0x80000000u, flushed != 0));
}
