// Appends each row's token to its text, which is the history of the penalties as well, and moves the position on. One invocation
// a row.

override ROWS: u32 = 1u;
override STRIDE: u32 = 1u;
// Words of a row's `SampleParams`, and which of them is the lower word of the position.
const PARAM_WORDS: u32 = 12u;
const POSITION: u32 = 10u;

@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> text: array<u32>;
@group(0) @binding(2) var<storage, read_write> ends: array<u32>;
@group(0) @binding(3) var<storage, read_write> params: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= ROWS || ends[row] >= (row + 1u) * STRIDE {
        return;
    }
    text[ends[row]] = tokens[row];
    ends[row] += 1u;
    params[row * PARAM_WORDS + POSITION] += 1u;
}
