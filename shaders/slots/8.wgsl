// Up to 8 slots, eight at a time: see chunk.wgsl.

fn hold(start: u32, chunk: u32, lane: Lane) {
    hold_8(0u, start, chunk, lane);
}

fn extremes_of_all() -> Extremes {
    var e = no_extremes();
    e = with_8(e, 0u);
    return e;
}

fn sum_all(kind: u32, at: Place, lane: Lane) {
    sum_8(kind, 0u, at, lane);
}

// The terms of what has been held once more.
fn keep_terms(largest: f32) {
    keep_8(0u, largest);
}

fn flaw_of_all(at: Place, lane: Lane) -> i32 {
    var flaw = 0;
    flaw = flaw_8(flaw, 0u, at, lane);
    return flaw;
}

fn first_of_all(largest: u32, chunk: u32, lane: Lane) -> i32 {
    var first = NO_CLASS;
    first = first_8(first, 0u, largest, chunk, lane);
    return first;
}

fn fold_all() {
    fold_8(0u, 4u);
    fold_8(0u, 2u);
    fold_8(0u, 1u);
}
