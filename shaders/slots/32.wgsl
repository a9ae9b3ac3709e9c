// Up to 32 slots, eight at a time: see chunk.wgsl.

fn hold(start: u32, chunk: u32, lane: Lane) {
    hold_8(0u, start, chunk, lane);
    hold_8(8u, start, chunk, lane);
    hold_8(16u, start, chunk, lane);
    hold_8(24u, start, chunk, lane);
}

fn extremes_of_all() -> Extremes {
    var e = no_extremes();
    e = with_8(e, 0u);
    e = with_8(e, 8u);
    e = with_8(e, 16u);
    e = with_8(e, 24u);
    return e;
}

fn sum_all(kind: u32, at: Place, lane: Lane) {
    sum_8(kind, 0u, at, lane);
    sum_8(kind, 8u, at, lane);
    sum_8(kind, 16u, at, lane);
    sum_8(kind, 24u, at, lane);
}

// The terms of what has been held once more.
fn keep_terms(largest: f32) {
    keep_8(0u, largest);
    keep_8(8u, largest);
    keep_8(16u, largest);
    keep_8(24u, largest);
}

fn flaw_of_all(at: Place, lane: Lane) -> i32 {
    var flaw = 0;
    flaw = flaw_8(flaw, 0u, at, lane);
    flaw = flaw_8(flaw, 8u, at, lane);
    flaw = flaw_8(flaw, 16u, at, lane);
    flaw = flaw_8(flaw, 24u, at, lane);
    return flaw;
}

fn first_of_all(largest: u32, chunk: u32, lane: Lane) -> i32 {
    var first = NO_CLASS;
    first = first_8(first, 0u, largest, chunk, lane);
    first = first_8(first, 8u, largest, chunk, lane);
    first = first_8(first, 16u, largest, chunk, lane);
    first = first_8(first, 24u, largest, chunk, lane);
    return first;
}

fn fold_all() {
    fold_8(8u, 16u);
    fold_8(0u, 16u);
    fold_8(0u, 8u);
    fold_8(0u, 4u);
    fold_8(0u, 2u);
    fold_8(0u, 1u);
}
