// No result of the logits' shape was asked for.

@group(0) @binding(1) var<storage, read> logits: array<Source>;

fn read_logits(i: u32) -> Source {
    return logits[i];
}
