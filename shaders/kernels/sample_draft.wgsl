// Which tokens of a draft are accepted, and what takes the place of the first that is not (speculative decoding). A
// sequence has n = `params.draft_length` rows with a token of the draft each, and one more. Token x of a row is accepted if
// u q_x < p_x, where u is the row's first random number, p the probabilities that its own token was drawn with, and q those
// of the draft. The first row whose token is not accepted has instead a class drawn with max(0, p - q), down the tree of
// these, and no later row a token. A row without a token of the draft keeps its own, and is the last. A work-group has a
// row to itself, and looks at those before it too. Twin: `verify_draft` in src/twin/draft.rs.

//#import "row/spans"
//#import "schedule/scratch"
//#import "sample/tree"

const TOKENS: u32 = 31u;
@group(0) @binding(TOKENS) var<storage, read_write> tokens: array<u32>;

// [sequences, n]
const DRAFT_TOKENS: u32 = 41u;
@group(0) @binding(DRAFT_TOKENS) var<storage, read> draft_tokens: array<u32>;

// [sequences, n, classes]; without them the draft was certain of its tokens.
const DRAFT_PROBS: u32 = 42u;
//#if HAS_DRAFT_PROBS
@group(0) @binding(DRAFT_PROBS) var<storage, read> draft_probs: array<u32>;
//#end

// How many tokens of each sequence are accepted.
const ACCEPTED: u32 = 43u;
@group(0) @binding(ACCEPTED) var<storage, read_write> accepted: array<u32>;

// What becomes of a row: it has the draft's token, its own, a new one, or none, because it comes after one of the last two.
const DRAFT_TOKEN: u32 = 0u;
const OWN_TOKEN: u32 = 1u;
const NEW_TOKEN: u32 = 2u;
const PAST_TOKEN: u32 = 3u;
const UNDECIDED: u32 = 4u;
var<workgroup> verdict: u32;

// A row of the sequence.
struct Draft {
    lane: Lane,
    start: u32,
    token: u32,
    // The first element of its probabilities.
    first_prob: u32,
    max_key: i32,
    factor: f32,
}

fn place_in_sequence(row: u32) -> u32 {
    return row % (params.draft_length + 1u);
}

fn draft_of(lane: Lane, row: Stats) -> Draft {
    let place = place_in_sequence(lane.row);
    let number = (lane.row / (params.draft_length + 1u)) * params.draft_length + place;
    var token = NO_TOKEN;
    if place < params.draft_length {
        token = draft_tokens[offset_of(DRAFT_TOKENS) + number];
    }
    let first_prob = offset_of(DRAFT_PROBS) + number * class_count();
    return Draft(lane, row_start(lane.row), token, first_prob, row.max_key, inv_sum_of(row));
}

// p of four classes, with the bits that softmax has.
fn target_vec4(index: u32, draft: Draft) -> vec4<f32> {
    let part_key = load_span_or_none(index / (CHUNK_VEC4S * span_chunks()), draft.lane).max_key;
    let e = exp_vec4(value_vec4(draft.start, index, draft.lane), exp_base(part_key));
    let p = e * vec4<f32>(mul(exp_diff(part_key, draft.max_key), draft.factor));
    return bitcast<vec4<f32>>(flush_positive4(bitcast<vec4<u32>>(p)));
}

// q of a class: 0 for what is negative or NaN.
fn draft_prob(class_index: u32, draft: Draft) -> f32 {
    //#if HAS_DRAFT_PROBS
    let bits = draft_probs[draft.first_prob + min(class_index, class_count() - 1u)];
    let is_prob = bits >= 0x00800000u && bits <= POS_INF;
    return bitcast<f32>(select(0u, min(bits, POS_INF - 1u), is_prob));
    //#else
    return select(0.0, 1.0, class_index == draft.token);
    //#end
}

// max(0, p - q) of four classes; p of classes past the last is 0.
fn rest_vec4(index: u32, draft: Draft) -> vec4<f32> {
    let first = 4u * index;
    let q = vec4<f32>(
        draft_prob(first, draft),
        draft_prob(first + 1u, draft),
        draft_prob(first + 2u, draft),
        draft_prob(first + 3u, draft),
    );
    let p = target_vec4(index, draft);
    let rest = bitcast<vec4<u32>>(opaque4(p - q));
    let positive = select(vec4<u32>(0u), rest, p > q);
    return bitcast<vec4<f32>>(flush_positive4(positive));
}

fn verdict_of(draft: Draft, row: Stats, row_params: SampleParams) -> u32 {
    if draft.token >= class_count() || !has_candidates(row, row_params, draft.lane) {
        return OWN_TOKEN;
    }
    let p = target_vec4(draft.token / 4u, draft)[draft.token % 4u];
    let is_accepted = mul(next_uniform(), draft_prob(draft.token, draft)) < p;
    return select(NEW_TOKEN, DRAFT_TOKEN, is_accepted);
}

const SPANS_MAX: u32 = 1024u;
var<workgroup> span_sums: array<f32, SPANS_MAX>;

// The tree of a chunk, and its sum.
fn build_rest_tree(chunk: u32, draft: Draft) -> f32 {
    workgroupBarrier();
    for (var i = local_index(draft.lane); i < CHUNK_VEC4S; i += WORKGROUP_SIZE) {
        tree[256u + i] = fold_vec4(rest_vec4(chunk * CHUNK_VEC4S + i, draft));
    }
    build_tree(draft.lane);
    return tree[1];
}

// The sums of all spans, of whose chunks each is added to those before it.
fn sum_spans(draft: Draft) {
    let is_first = local_index(draft.lane) == 0u;
    for (var chunk = 0u; chunk < row_chunks(); chunk++) {
        let sum = build_rest_tree(chunk, draft);
        let span = chunk / span_chunks();
        if is_first && chunk % span_chunks() == 0u {
            span_sums[span] = sum;
        } else if is_first {
            span_sums[span] = opaque(span_sums[span] + sum);
        }
    }
    workgroupBarrier();
}

fn span_sums_vec4(index: u32) -> vec4<f32> {
    let spans = vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u);
    let held = vec4<f32>(span_sums[spans.x], span_sums[spans.y], span_sums[spans.z], span_sums[spans.w]);
    return select(vec4<f32>(0.0), held, spans < vec4<u32>(params.spans));
}

//#if HAS_LONG_SPANS
var<workgroup> chunk_sums_of_span: array<f32, SPAN_CHUNKS_MAX>;

// The chunk of a span, from the last to the first, which are lessened by one each.
fn descend_span_rest(span: u32, draft: Draft) -> u32 {
    for (var chunk = 0u; chunk < span_chunks(); chunk++) {
        let sum = build_rest_tree(min(span * span_chunks() + chunk, row_chunks() - 1u), draft);
        if local_index(draft.lane) == 0u {
            chunk_sums_of_span[chunk] = sum;
        }
    }
    workgroupBarrier();
    var i = min(span_chunks(), row_chunks() - span * span_chunks()) - 1u;
    while i > 0u {
        var before = 0.0;
        for (var chunk = 0u; chunk < i; chunk++) {
            before = opaque(before + chunk_sums_of_span[chunk]);
        }
        if !goes_left(before, chunk_sums_of_span[i]) {
            break;
        }
        i -= 1u;
    }
    return span * span_chunks() + i;
}
//#end

// A class drawn with max(0, p - q), or NO_TOKEN where no p is more than q.
fn draw_rest(draft: Draft) -> u32 {
    sum_spans(draft);
    for (var i = local_index(draft.lane); i < CHUNK_VEC4S; i += WORKGROUP_SIZE) {
        tree[256u + i] = fold_vec4(span_sums_vec4(i));
    }
    build_tree(draft.lane);
    let total = tree[1];
    var span = 0u;
    if params.spans > 1u {
        let index = descend_tree();
        span = min(4u * index + descend_vec4(span_sums_vec4(index)), params.spans - 1u);
    }
    var chunk = span;
    //#if HAS_LONG_SPANS
    chunk = descend_span_rest(span, draft);
    //#end
    build_rest_tree(chunk, draft);
    let index = chunk * CHUNK_VEC4S + descend_tree();
    let class_index = 4u * index + descend_vec4(rest_vec4(index, draft));
    return select(NO_TOKEN, class_index, total > 0.0 && class_index < class_count());
}

// Looks at the rows of the sequence up to the work-group's own, or to one whose token is not accepted, and returns the last.
fn judge(lane: Lane) -> Draft {
    let local = local_index(lane);
    let place = place_in_sequence(lane.row);
    var draft: Draft;
    if local == 0u {
        verdict = UNDECIDED;
    }
    for (var i = 0u; i <= params.draft_length; i++) {
        if workgroupUniformLoad(&verdict) != UNDECIDED {
            break;
        }
        var other = lane;
        other.row = lane.row - place + min(i, place);
        begin_row(other.row);
        let row = combine_spans(other);
        let row_params = sample_params_of(other.row);
        seed_random(row_params.seed, row_params.position);
        draft = draft_of(other, row);
        let found = verdict_of(draft, row, row_params);
        if local == 0u && i == place {
            verdict = found;
        } else if local == 0u && found != DRAFT_TOKEN {
            verdict = PAST_TOKEN;
        }
    }
    return draft;
}

fn run(lane: Lane) {
    let draft = judge(lane);
    let found = workgroupUniformLoad(&verdict);
    var new_token = NO_TOKEN;
    if found == NEW_TOKEN {
        new_token = draw_rest(draft);
    }
    if lane.live && local_index(lane) == 0u {
        let at = offset_of(TOKENS) + lane.row;
        if found == DRAFT_TOKEN {
            tokens[at] = draft.token;
        } else if found == PAST_TOKEN {
            tokens[at] = NO_TOKEN;
        } else {
            if new_token != NO_TOKEN {
                tokens[at] = new_token;
            }
            let sequence = lane.row / (params.draft_length + 1u);
            accepted[offset_of(ACCEPTED) + sequence] = place_in_sequence(lane.row);
        }
    }
}
