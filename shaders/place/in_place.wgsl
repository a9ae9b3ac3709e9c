// The result replaces the logits, which the caller asked for. A lane reads its quads before it writes them, and no other's.

@group(0) @binding(2) var<storage, read_write> result: array<Packed>;

fn read_logits(i: u32) -> Source {
    return result[i];
}
