// The result goes to a buffer of its own.

@group(0) @binding(1) var<storage, read> logits: array<Packed>;
@group(0) @binding(2) var<storage, read_write> result: array<Packed>;

fn read_logits(i: u32) -> Packed {
    return logits[i];
}

fn write_result(i: u32, packed: Packed) {
    result[i] = packed;
}
