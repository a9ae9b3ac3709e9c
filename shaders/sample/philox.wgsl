// Random words: Philox4x32-10 of J. K. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011, with the seed
// as its key and (word number / 4, 0, position) as its counter. Rust twin: `Philox` in src/twin/sample.rs.

// The high and the low word of a product.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let carried = a_low * b_high + (middle & 0xffffu);
    return vec2<u32>(a_high * b_high + (middle >> 16u) + (carried >> 16u), a * b);
}

fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var key = seed;
    for (var round = 0u; round < 10u; round++) {
        let x = wide_product(0xd2511f53u, c.x);
        let z = wide_product(0xcd9e8d57u, c.z);
        c = vec4<u32>(z.x ^ c.y ^ key.x, z.y, x.x ^ c.w ^ key.y, x.y);
        key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

struct Random {
    seed: vec2<u32>,
    position: vec2<u32>,
    // The number of the next word, and the four words that it belongs to.
    next: u32,
    words: vec4<u32>,
}

var<private> random: Random;

fn seed_random(seed: vec2<u32>, position: vec2<u32>) {
    random = Random(seed, position, 0u, vec4<u32>(0u));
}

// The next random number from 0 up to 1 - 2^-24.
fn next_uniform() -> f32 {
    if random.next % 4u == 0u {
        random.words = philox(vec4<u32>(random.next / 4u, 0u, random.position), random.seed);
    }
    let word = random.words.x;
    // The next is first, so that no variable indexes a vector, which takes memory instead of registers.
    random.words = random.words.yzwx;
    random.next += 1u;
    return f32(word >> 8u) * 5.9604644775390625e-8;
}
