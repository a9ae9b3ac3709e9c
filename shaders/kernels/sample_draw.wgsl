// Draws a class of each row with the probabilities exp(b - m) / d: down from the row's sum d = k + s, at each step with a
// random number u. To one of k maxima if u d < k, else down the tree of the canonical order, at a sum l + r to the left if
// u (l + r) < l. A span, or a chunk of one, whose maximum is less than that of the whole, is entered as the row is: to one
// of its own maxima, or down its tree. A greedy row has its first largest class. A work-group has a row to itself; it loads
// one chunk (of a row of more than 1,024 chunks a span). Twin: `draw` in src/twin/sample.rs.

//#import "row/spans"
//#import "schedule/scratch"
//#import "sample/tree"

const TOKENS: u32 = 31u;
@group(0) @binding(TOKENS) var<storage, read_write> tokens: array<u32>;

// Where in the row, or in a part of it, the token is: one of the maxima, counted in the order of classes; or where the tree
// leads. With IS_LARGEST, maxima are the classes of the largest value alone.
struct Place {
    is_maximum: bool,
    number: f32,
}

var<private> is_largest: bool;

// Enters what has these sums.
fn entered(max_count: f32, sum: f32) -> Place {
    if is_largest {
        return Place(true, 0.0);
    }
    if mul(next_uniform(), opaque(max_count + sum)) < max_count {
        return Place(true, min(floor(mul(next_uniform(), max_count)), max_count - 1.0));
    }
    return Place(false, 0.0);
}

// How many of the maxima of the whole a part has.
fn maxima_of(part: Stats, whole_key: i32) -> f32 {
    if is_largest {
        return select(0.0, 1.0, part.max_key == whole_key);
    }
    return select(0.0, part.max_count, exp_diff(part.max_key, whole_key) == 1.0);
}

fn place_in(part: Stats, whole_key: i32, place: Place) -> Place {
    if place.is_maximum || exp_diff(part.max_key, whole_key) == 1.0 {
        return place;
    }
    return entered(part.max_count, part.sum);
}

struct Descent {
    // The span or chunk.
    part: u32,
    place: Place,
}

// The span of the row.
fn descend_row(row: Stats, lane: Lane) -> Descent {
    let base = exp_base(row.max_key);
    var descent = Descent(0u, entered(row.max_count, row.sum));
    if descent.place.is_maximum {
        for (var span = 0u; span < params.spans; span++) {
            let count = maxima_of(load_span(span, lane), row.max_key);
            if descent.place.number < count {
                descent.part = span;
                break;
            }
            descent.place.number -= count;
        }
        return descent;
    }
    if params.spans == 1u {
        return descent;
    }
    let vec4_index = descend_tree();
    descent.part = 4u * vec4_index + descend_vec4(rescaled_spans(EXP_SUM, 4u * vec4_index, base, lane).sum);
    descent.place = place_in(load_span_or_none(descent.part, lane), row.max_key, descent.place);
    return descent;
}

//#if HAS_LONG_SPANS
// The statistics of the chunks of a span, and of the span up to each of them.
var<workgroup> chunk_parts: array<Stats, SPAN_CHUNKS_MAX>;
var<workgroup> chunk_wholes: array<Stats, SPAN_CHUNKS_MAX>;

// The chunk of the span.
fn descend_span(start: u32, within: Descent, lane: Lane) -> Descent {
    var whole = no_stats();
    for (var i = 0u; i < span_chunks(); i++) {
        let chunk = min(within.part * span_chunks() + i, row_chunks());
        load_chunk(start, chunk, lane);
        let part = chunk_stats(start, chunk, lane);
        if i == 0u {
            whole = part;
        } else {
            whole = merge(whole, part);
        }
        if lane.index == 0u && lane.chunk == 0u {
            chunk_parts[i] = part;
            chunk_wholes[i] = whole;
        }
    }
    workgroupBarrier();
    var place = within.place;
    // The last span may be shorter, and no random number is spent on what it lacks.
    var i = min(span_chunks(), row_chunks() - within.part * span_chunks()) - 1u;
    while i > 0u {
        let key = chunk_wholes[i].max_key;
        let left = chunk_wholes[i - 1u];
        let right = chunk_parts[i];
        let left_maxima = maxima_of(left, key);
        let both = rescale_to_max(EXP_SUM, left, right, no_stats(), no_stats(), exp_base(key));
        var is_left = place.number < left_maxima;
        if !place.is_maximum {
            is_left = goes_left(both.sum.x, both.sum.y);
        } else if !is_left {
            place.number -= left_maxima;
        }
        if !is_left {
            return Descent(within.part * span_chunks() + i, place_in(right, key, place));
        }
        place = place_in(left, key, place);
        i -= 1u;
    }
    return Descent(within.part * span_chunks(), place);
}
//#end

// Exponentials below a maximum of four classes, or 1 for each maximum.
fn terms_at(bits: vec4<u32>, key: i32, is_maximum: bool) -> vec4<f32> {
    let e = exp_vec4(bits, exp_base(key));
    var is_one = e == vec4<f32>(1.0);
    if is_largest {
        is_one = vec4<bool>(
            order_key(bits.x) == key,
            order_key(bits.y) == key,
            order_key(bits.z) == key,
            order_key(bits.w) == key,
        );
    }
    let maxima = select(vec4<f32>(0.0), vec4<f32>(1.0), is_one);
    return select(select(e, vec4<f32>(0.0), is_one), maxima, vec4<bool>(is_maximum));
}

fn store_leaf(reg: u32, key: i32, is_maximum: bool, lane: Lane) {
    if lane.chunk == 0u {
        var sum = 0.0;
        if reg < USED_REGS {
            sum = fold_vec4(terms_at(regs[reg], key, is_maximum));
        }
        tree[256u + reg * LANES + lane.index] = sum;
    }
}

fn store_span_leaf(index: u32, base: f32, lane: Lane) {
    var sum = 0.0;
    if 4u * index < params.spans {
        sum = fold_vec4(rescaled_spans(EXP_SUM, 4u * index, base, lane).sum);
    }
    tree[256u + index] = sum;
}

// The class, from the leaves of its chunk, which is held.
fn descend_chunk(start: u32, descent: Descent, key: i32, lane: Lane) -> u32 {
    var vec4_index = 0u;
    var number = descent.place.number;
    if descent.place.is_maximum {
        while vec4_index < 255u && number >= tree[256u + vec4_index] {
            number -= tree[256u + vec4_index];
            vec4_index += 1u;
        }
    } else {
        vec4_index = descend_tree();
    }
    let index = descent.part * CHUNK_VEC4S + vec4_index;
    let terms = terms_at(value_vec4(start, index, lane), key, descent.place.is_maximum);
    if !descent.place.is_maximum {
        return 4u * index + descend_vec4(terms);
    }
    // How many of the first one, two and three classes are maxima.
    let of_two = terms.x + terms.y;
    let counts = vec4<f32>(terms.x, of_two, of_two + terms.z, 0.0);
    let before = select(vec4<u32>(0u), vec4<u32>(1u), counts <= vec4<f32>(number));
    return 4u * index + before.x + before.y + before.z;
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    begin_row(lane.row);
    let row_params = sample_params_of(lane.row);
    seed_random(row_params.seed, row_params.position);
    is_largest = is_greedy(row_params);
    let row = combine_spans(lane);
    for (var i = local_index(lane); i < CHUNK_VEC4S; i += WORKGROUP_SIZE) {
        store_span_leaf(i, exp_base(row.max_key), lane);
    }
    build_tree(lane);
    var descent = descend_row(row, lane);
    //#if IS_SHARD
    // Another shard has the class if it has the span.
    let has_span = descent.part >= params.first_span && descent.part < params.first_span + params.shard_spans;
    descent.part = select(params.first_span, descent.part, has_span);
    //#else
    let has_span = true;
    //#end
    //#if HAS_LONG_SPANS
    descent = descend_span(start, descent, lane);
    //#end
    load_chunk(start, descent.part, lane);
    let key = chunk_max(lane);
    // The tree of the spans is no longer needed.
    workgroupBarrier();
    //#unroll REGS_PER_LANE
    store_leaf($iu, key, descent.place.is_maximum, lane);
    //#end
    build_tree(lane);
    let token = descend_chunk(start, descent, key, lane);
    let has_token = has_span && has_candidates(row, row_params, lane) && token < class_count();
    let is_first = lane.live && lane.index == 0u && lane.chunk == 0u;
    //#if IS_SHARD
    // The other shards rank the token by its b.
    let at = offset_of(TOKENS) + 2u * lane.row;
    let safe_token = class_here(token);
    let bits = value_vec4(start, safe_token / 4u, lane)[safe_token % 4u];
    if is_first {
        tokens[at] = select(NO_TOKEN, token, has_token);
        tokens[at + 1u] = select(0u, bits, has_token);
    }
    //#else
    if is_first {
        tokens[offset_of(TOKENS) + lane.row] = select(NO_TOKEN, token, has_token);
    }
    //#end
}
