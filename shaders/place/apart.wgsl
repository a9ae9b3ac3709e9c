// The result goes to a buffer of its own.

@group(0) @binding(1) var<storage, read> logits: array<Source>;
@group(0) @binding(2) var<storage, read_write> result: array<Packed>;

fn read_logits(i: u32) -> Source {
    return logits[i];
}
