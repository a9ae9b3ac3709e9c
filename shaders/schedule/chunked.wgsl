// Middle rows: the lanes of a row go through it chunk by chunk and keep its spans in group memory.
// Memory is read twice and written once.

// At least the spans of all rows of a work-group.
override GROUP_SPANS: u32 = 64u;
var<workgroup> span_keys: array<i32, GROUP_SPANS>;
var<workgroup> span_sums: array<f32, GROUP_SPANS>;
var<workgroup> span_argmax: array<i32, GROUP_SPANS>;

fn place_of(span: u32, lane: Lane) -> u32 {
    return (lane.first / LANES) * params.spans + span;
}

fn span_at(span: u32, lane: Lane) -> Stats {
    let place = place_of(span, lane);
    return Stats(span_keys[place], span_sums[place], span_argmax[place]);
}

fn row_stats(start: u32, lane: Lane) -> Stats {
    for (var span = 0u; span < params.spans; span++) {
        let stats = span_stats(start, span, lane);
        if lane.index == 0u {
            let place = place_of(span, lane);
            span_keys[place] = stats.key;
            span_sums[place] = stats.sum;
            span_argmax[place] = stats.argmax;
        }
    }
    workgroupBarrier();
    return combined(lane);
}

fn first_chunk(lane: Lane) -> u32 {
    return 0u;
}

fn end_chunk(lane: Lane) -> u32 {
    return row_chunks();
}

fn hold_again(start: u32, chunk: u32, lane: Lane) {
    hold(start, chunk, lane);
}
