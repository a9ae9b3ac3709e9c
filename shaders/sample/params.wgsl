// What each row is sampled with, 12 words a row or one set for all. Rust twin: `SampleParams` in src/ops/sample/params.rs,
// where each field is explained and checked; what a device buffer holds is checked here.

//#import "sample/divide"

const SAMPLE_PARAMS: u32 = 26u;
@group(0) @binding(SAMPLE_PARAMS) var<storage, read> sample_params: array<u32>;

struct SampleParams {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    repetition: f32,
    presence: f32,
    frequency: f32,
    prompt_length: u32,
    seed: vec2<u32>,
    position: vec2<u32>,
}

fn sample_word(row: u32, word: u32) -> u32 {
    return sample_params[offset_of(SAMPLE_PARAMS) + row * params.sample_stride + word];
}

fn sample_params_of(row: u32) -> SampleParams {
    return SampleParams(
        bitcast<f32>(sample_word(row, 0u)),
        sample_word(row, 1u),
        bitcast<f32>(sample_word(row, 2u)),
        bitcast<f32>(sample_word(row, 3u)),
        bitcast<f32>(sample_word(row, 4u)),
        bitcast<f32>(sample_word(row, 5u)),
        bitcast<f32>(sample_word(row, 6u)),
        sample_word(row, 7u),
        vec2<u32>(sample_word(row, 8u), sample_word(row, 9u)),
        vec2<u32>(sample_word(row, 10u), sample_word(row, 11u)),
    );
}

// The bits of 1.
const ONE_BITS: u32 = 0x3f800000u;

// From 2^-126 to 2^126, so that the reciprocal is a normal number too.
fn is_invertible(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    return bits >= 0x00800000u && bits <= 0x7e800000u;
}

fn is_share(x: f32) -> bool {
    return bitcast<u32>(x) <= ONE_BITS;
}

fn are_valid(p: SampleParams) -> bool {
    let is_temperature = bitcast<u32>(p.temperature) == 0u || is_invertible(p.temperature);
    let is_penalty = !is_nan_or_inf(bitcast<u32>(p.presence)) && !is_nan_or_inf(bitcast<u32>(p.frequency));
    return is_temperature && is_share(p.top_p) && is_share(p.min_p) && is_invertible(p.repetition) && is_penalty;
}

fn is_greedy(p: SampleParams) -> bool {
    return bitcast<u32>(p.temperature) == 0u || p.top_k == 1u;
}

// The classes that top_k keeps, or 0 for all.
fn top_k_of(p: SampleParams) -> u32 {
    if is_greedy(p) {
        return 1u;
    }
    return select(p.top_k, 0u, p.top_k >= class_count());
}

// 1 / T, rounded once; 1 for a greedy row.
fn inv_temperature_of(p: SampleParams) -> f32 {
    if is_greedy(p) || !are_valid(p) {
        return 1.0;
    }
    return divide_rounded(1.0, p.temperature);
}
