// As place/in_place.wgsl, where lanes may share words: store/half_singles.wgsl.

@group(0) @binding(2) var<storage, read_write> result: array<Packed>;

fn read_logits(i: u32) -> Source {
    return atomicLoad(&result[i]);
}
