// After targets.wgsl has counted: scale = upstream / (valid targets, with MEAN), and the first bad target's value.
// One invocation.

override MEAN: bool = false;

@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> summary: array<u32>;
@group(0) @binding(3) var<storage, read> upstream: array<f32>;

@compute @workgroup_size(1)
fn main() {
    let row = ~summary[4] - params.first_row;
    if summary[3] > 0u && row < params.rows {
        summary[5] = targets[params.targets_offset + row];
    }
    let denominator = select(1.0, f32(summary[1]), MEAN);
    summary[6] = bitcast<u32>(upstream[params.scale_offset] / denominator);
}
