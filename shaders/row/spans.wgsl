// Rows of more than one chunk: the chunks of a span are merged from left to right, and the spans by the same tree as a
// chunk. A schedule decides where the statistics of spans are kept: it defines `store_span_word`, `load_span_word` and
// `span_index_of`.

//#import "row/stats"
//#if ADDS_SINK
//#import "row/sink"
//#end

// Words that encode the statistics of a span: 3, one more with the argmax, 4 more with the sums of entropy and targets, 3 more with
// a teacher, 2 more with a direction.
override SPAN_WORDS: u32 = 3u;
const FIRST_SUM_WORD: u32 = select(3u, 4u, HAS_ARGMAX);

fn store_span(span: u32, lane: Lane, s: Stats) {
    let at = span_index_of(span, lane) * SPAN_WORDS;
    store_span_word(at, bitcast<u32>(s.max_key));
    store_span_word(at + 1u, bitcast<u32>(s.sum));
    store_span_word(at + 2u, bitcast<u32>(s.max_count));
    if HAS_ARGMAX {
        store_span_word(at + 3u, u32(s.argmax));
    }
    if HAS_ENTROPY_SUM || HAS_TARGET_SUMS || HAS_DIVERGENCE {
        store_span_word(at + FIRST_SUM_WORD, bitcast<u32>(s.entropy_sum));
        store_span_word(at + FIRST_SUM_WORD + 1u, bitcast<u32>(s.target_sum));
        store_span_word(at + FIRST_SUM_WORD + 2u, bitcast<u32>(s.target_dot));
        store_span_word(at + FIRST_SUM_WORD + 3u, u32(s.target_error));
    }
    //#if HAS_TEACHER
    store_span_word(at + FIRST_SUM_WORD + 4u, bitcast<u32>(s.teacher_max_key));
    store_span_word(at + FIRST_SUM_WORD + 5u, bitcast<u32>(s.teacher_sum));
    store_span_word(at + FIRST_SUM_WORD + 6u, bitcast<u32>(s.teacher_count));
    //#end
    //#if HAS_DIRECTION
    store_span_word(at + SPAN_WORDS - 2u, bitcast<u32>(s.direction_sum));
    store_span_word(at + SPAN_WORDS - 1u, bitcast<u32>(s.direction_dot));
    //#end
}

fn load_span(span: u32, lane: Lane) -> Stats {
    let at = span_index_of(span, lane) * SPAN_WORDS;
    var s = no_stats();
    s.max_key = bitcast<i32>(load_span_word(at));
    s.sum = bitcast<f32>(load_span_word(at + 1u));
    s.max_count = bitcast<f32>(load_span_word(at + 2u));
    if HAS_ARGMAX {
        s.argmax = i32(load_span_word(at + 3u));
    }
    if HAS_ENTROPY_SUM || HAS_TARGET_SUMS || HAS_DIVERGENCE {
        s.entropy_sum = bitcast<f32>(load_span_word(at + FIRST_SUM_WORD));
        s.target_sum = bitcast<f32>(load_span_word(at + FIRST_SUM_WORD + 1u));
        s.target_dot = bitcast<f32>(load_span_word(at + FIRST_SUM_WORD + 2u));
        s.target_error = i32(load_span_word(at + FIRST_SUM_WORD + 3u));
    }
    //#if HAS_TEACHER
    s.teacher_max_key = bitcast<i32>(load_span_word(at + FIRST_SUM_WORD + 4u));
    s.teacher_sum = bitcast<f32>(load_span_word(at + FIRST_SUM_WORD + 5u));
    s.teacher_count = bitcast<f32>(load_span_word(at + FIRST_SUM_WORD + 6u));
    //#end
    //#if HAS_DIRECTION
    s.direction_sum = bitcast<f32>(load_span_word(at + SPAN_WORDS - 2u));
    s.direction_dot = bitcast<f32>(load_span_word(at + SPAN_WORDS - 1u));
    //#end
    return s;
}

// Where each chunk has lanes of its own, compilers know how many spans there are.
fn span_count() -> u32 {
    return select(ROW_CHUNKS, params.spans, IN_PIECES);
}

// Whether every lane combines all spans by itself, which for the maximum and the sums takes neither shuffles nor barriers.
fn is_one_vec4() -> bool {
    return !IN_PIECES && ROW_CHUNKS <= 4u;
}

fn load_span_or_none(span: u32, lane: Lane) -> Stats {
    if span < span_count() {
        return load_span(span, lane);
    }
    return no_stats();
}

// e^(a - b) of two keys, a <= b.
fn exp_diff(a_key: i32, b_key: i32) -> f32 {
    return exp_vec4(vec4<u32>(bits_of_key(a_key)), exp_base(b_key)).x;
}

// Loads the chunk's values again, and with CACHES_EXP computes their exponentials relative to the maximum of their
// span, and the factor that makes these relative to the row's maximum.
fn reload_chunk(start: u32, chunk: u32, lane: Lane, row_max_key: i32) {
    load_chunk(start, chunk, lane);
    //#if CACHES_EXP
    let span = load_span(chunk / span_chunks(), lane);
    cache_exp(exp_base(span.max_key));
    exp_rescale = exp_diff(span.max_key, row_max_key);
    //#if HAS_TEACHER
    cache_teacher_exp(exp_base(span.teacher_max_key));
    teacher_rescale = exp_diff(span.teacher_max_key, whole.teacher_max_key);
    //#end
    //#end
}

// All work-groups' lanes take the same number of steps, and the body, which is long, is compiled only once. Chunks past
// the last hold nothing but -inf, and merging with them changes no bits.
fn span_stats(start: u32, span: u32, lane: Lane) -> Stats {
    let first = span * span_chunks();
    var stats = no_stats();
    for (var i = 0u; i < span_chunks(); i++) {
        // What full rows give for a chunk past the last, where no bounds are checked, is never stored.
        let chunk = select(first + i, min(first + i, row_chunks() - 1u), IS_FULL);
        load_chunk(start, chunk, lane);
        let part = chunk_stats(start, chunk, lane);
        //#if HAS_MAXIMA
        store_maximum(first + i, lane);
        //#end
        if i == 0u {
            stats = part;
        } else {
            stats = merge(stats, part);
        }
    }
    return stats;
}

// Four spans, relative to the maximum of all.
fn rescaled_spans(kind: u32, first: u32, base: f32, lane: Lane) -> Rescaled {
    let a = load_span_or_none(first, lane);
    let b = load_span_or_none(first + 1u, lane);
    let c = load_span_or_none(first + 2u, lane);
    let d = load_span_or_none(first + 3u, lane);
    //#if HAS_TEACHER
    if kind == TEACHER_SUM {
        return rescale_to_max(EXP_SUM, teacher_of(a), teacher_of(b), teacher_of(c), teacher_of(d), base);
    }
    //#end
    //#if HAS_DIVERGENCE
    if kind == TARGET_DOT {
        return Rescaled(part_divergences(a, b, c, d), vec4<f32>(0.0));
    }
    //#end
    return rescale_to_max(kind, a, b, c, d, base);
}

fn move_sum_on(reg: u32) {
    if reg > 0u {
        sums[reg] = sums[reg - 1u];
    }
}

// The tree over the spans, four to a vec4, relative to the maximum of all.
fn combine_sums(kind: u32, base: f32, lane: Lane) -> vec2<f32> {
    if is_one_vec4() {
        let rescaled = rescaled_spans(kind, 0u, base, lane);
        return without_neg_zero(vec2<f32>(fold_vec4(rescaled.sum), fold_vec4(rescaled.max_count)));
    }
    //#unroll REGS_PER_LANE
    sums[$i] = 0.0;
    //#end
    // From the last register to the first, each taking the first's place and moving the others on: so the code, which is
    // long, is compiled only once, and no register is indexed by a variable.
    let used = min(REGS_PER_LANE, (span_count() + 4u * LANES - 1u) / (4u * LANES));
    var count = 0.0;
    for (var left = used; left > 0u; left--) {
        let rescaled = rescaled_spans(kind, 4u * ((left - 1u) * LANES + lane.index), base, lane);
        //#unroll REGS_PER_LANE
        move_sum_on(REGS_PER_LANE - 1u - $iu);
        //#end
        sums[0] = fold_vec4(rescaled.sum);
        count += fold_vec4(rescaled.max_count);
    }
    return tree_sums(count, lane);
}

// The statistics of the whole row, from those of its spans.
fn combine_spans(lane: Lane) -> Stats {
    var max_key = KEY_NEG_INF;
    var target_error = TARGET_OK;
    //#if HAS_TEACHER
    var teacher_max_key = KEY_NEG_INF;
    //#end
    let step = select(LANES, 1u, is_one_vec4());
    for (var span = select(lane.index, 0u, is_one_vec4()); span < span_count(); span += step) {
        let part = load_span(span, lane);
        max_key = max(max_key, part.max_key);
        target_error = max(target_error, part.target_error);
        //#if HAS_TEACHER
        teacher_max_key = max(teacher_max_key, part.teacher_max_key);
        //#end
    }
    var s = no_stats();
    s.max_key = max_key;
    if !is_one_vec4() {
        s.max_key = lanes_max(max_key, lane);
    }
    let base = exp_base(s.max_key);
    let row_sums = combine_sums(STATS_SUM, base, lane);
    s.sum = row_sums.x;
    s.max_count = row_sums.y;
    if HAS_ARGMAX {
        var argmax = NO_CLASS;
        for (var span = lane.index; span < span_count(); span += LANES) {
            let part = load_span(span, lane);
            argmax = select(argmax, min(argmax, part.argmax), part.max_key == s.max_key);
        }
        s.argmax = lanes_min(argmax, lane);
    }
    if HAS_ENTROPY_SUM {
        s.entropy_sum = combine_sums(ENTROPY_SUM, base, lane).x;
    }
    //#if HAS_TEACHER
    s.teacher_max_key = teacher_max_key;
    if !is_one_vec4() {
        s.teacher_max_key = lanes_max(teacher_max_key, lane);
    }
    let of_teacher = combine_sums(TEACHER_SUM, exp_base(s.teacher_max_key), lane);
    s.teacher_sum = of_teacher.x;
    s.teacher_count = of_teacher.y;
    //#end
    //#if HAS_DIRECTION
    s.direction_sum = combine_sums(DIRECTION_SUM, base, lane).x;
    //#if HAS_UPSTREAM_TERMS
    s.direction_dot = combine_sums(DIRECTION_DOT, base, lane).x;
    //#end
    //#end
    if HAS_TARGET_SUMS {
        s.target_sum = combine_sums(TARGET_SUM, base, lane).x;
    }
    //#if HAS_DIVERGENCE
    whole = s;
    //#end
    if HAS_TARGET_SUMS || HAS_DIVERGENCE {
        s.target_dot = combine_sums(TARGET_DOT, base, lane).x;
        s.target_error = lanes_max(target_error, lane);
    }
    //#if ADDS_SINK
    return with_sink(s, lane);
    //#else
    return s;
    //#end
}
