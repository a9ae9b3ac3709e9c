// No result of the logits' shape was asked for.

@group(0) @binding(1) var<storage, read> logits: array<Packed>;

fn read_logits(i: u32) -> Packed {
    return logits[i];
}

fn write_result(i: u32, packed: Packed) {
}
