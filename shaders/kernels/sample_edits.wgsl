// What the penalties for a row's history, and biases of some classes, make of logits: for each class the bits that change
// (`edits` in sample/values.wgsl). A work-group has a row to itself.
//   a in the history:  a > 0 ? a / repetition : a * repetition;  - frequency * n - [n > 0] presence,  n times after the prompt
//   then:              a + bias
// The kernel leaves the classes that it names behind the row, and clears no others the next time, for a row is long. While
// it runs, a class's word counts how often the class was generated, or finds the first of its biases.
// Twin: `edited` in src/twin/sample.rs.

//#import "row/stats"

const EDITS: u32 = 28u;
@group(0) @binding(EDITS) var<storage, read_write> edits: array<atomic<u32>>;

const HISTORY: u32 = 32u;
//#if HAS_HISTORY
@group(0) @binding(HISTORY) var<storage, read> history: array<u32>;

fn history_at(row: u32, i: u32) -> u32 {
    return history[offset_of(HISTORY) + row * params.history_length + i];
}
//#else
fn history_at(row: u32, i: u32) -> u32 {
    return NO_TOKEN;
}
//#end

const BIAS_CLASSES: u32 = 33u;
const BIAS_VALUES: u32 = 34u;
//#if HAS_BIAS_CLASSES
@group(0) @binding(BIAS_CLASSES) var<storage, read> bias_classes: array<u32>;
@group(0) @binding(BIAS_VALUES) var<storage, read> bias_values: array<u32>;

fn bias_class_at(row: u32, i: u32) -> u32 {
    return bias_classes[offset_of(BIAS_CLASSES) + row * params.bias_stride + i];
}

fn bias_value_at(row: u32, i: u32) -> u32 {
    return bias_values[offset_of(BIAS_VALUES) + row * params.bias_stride + i];
}
//#else
fn bias_class_at(row: u32, i: u32) -> u32 {
    return NO_TOKEN;
}

fn bias_value_at(row: u32, i: u32) -> u32 {
    return 0u;
}
//#end

// The word of a class in the history: this, and twice the number of times that it was generated.
const IN_PROMPT: u32 = 1u;
const GENERATED: u32 = 2u;

// Where the row's words are, and those behind them: an error, the classes of history and biases, of which each is named
// once, and what the history makes of the classes of biases.
var<private> first: u32;

fn error_at() -> u32 {
    return first + 4u * (edited_vec4s() + 1u);
}

fn named_at(item: u32) -> u32 {
    return error_at() + 1u + item;
}

fn bias_named_at(i: u32) -> u32 {
    return named_at(params.history_length + i);
}

fn penalised_at(i: u32) -> u32 {
    return bias_named_at(params.bias_length + i);
}

fn clear_named(item: u32) {
    let class_index = atomicLoad(&edits[named_at(item)]);
    if class_index < class_count() {
        atomicStore(&edits[first + class_index], 0u);
    }
}

var<private> has_error: bool = false;

// Whether it is a class; all else but NO_TOKEN is an error.
fn is_class(class_index: u32) -> bool {
    has_error = has_error || (class_index >= class_count() && class_index != NO_TOKEN);
    return class_index < class_count();
}

// Whoever counts a class first names it.
fn name_token(i: u32, class_index: u32, before: u32) {
    atomicStore(&edits[named_at(i)], select(NO_TOKEN, class_index, before == 0u));
}

// Prompt and what was generated have a loop each: on a rasteriser every atomic operation takes a lane at a time.
fn count_tokens(row: u32, local: u32, prompt_length: u32) {
    let prompt_end = min(prompt_length, params.history_length);
    for (var i = local; i < prompt_end; i += WORKGROUP_SIZE) {
        let class_index = history_at(row, i);
        var before = 1u;
        if is_class(class_index) {
            before = atomicOr(&edits[first + class_index], IN_PROMPT);
        }
        name_token(i, class_index, before);
    }
    for (var i = prompt_end + local; i < params.history_length; i += WORKGROUP_SIZE) {
        let class_index = history_at(row, i);
        var before = 1u;
        if is_class(class_index) {
            before = atomicAdd(&edits[first + class_index], GENERATED);
        }
        name_token(i, class_index, before);
    }
}

// A sum or product as it is kept: finite, and 0 below 2^-126.
fn settled(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let magnitude = min(bits & 0x7fffffffu, POS_INF - 1u);
    return bitcast<f32>(select((bits & 0x80000000u) | magnitude, 0u, magnitude < 0x00800000u));
}

fn penalised(a: f32, counts: u32, p: SampleParams) -> f32 {
    var x = a;
    if p.repetition != 1.0 {
        if x > 0.0 {
            x = divide_rounded(x, p.repetition);
        } else {
            x = settled(mul(settled(x), p.repetition));
        }
    }
    let n = counts / GENERATED;
    if n > 0u && (p.frequency != 0.0 || p.presence != 0.0) {
        x = settled(opaque(settled(x) - settled(mul(p.frequency, f32(n)))));
        x = settled(opaque(x - settled(p.presence)));
    }
    return x;
}

// The logit of a class, as it is adjusted; of one that is not here any other, since its edits are not used.
fn logit_bits(row: u32, named: u32) -> u32 {
    let class_index = class_here(named);
    let start = row_start(row);
    let lane = Lane(0u, 0u, row, true, 0u, 0u);
    return adjust_logits(load_around(start, class_index), start, class_index / 4u, lane)[class_index % 4u];
}

fn penalise(row: u32, i: u32, p: SampleParams, is_valid: bool) {
    let class_index = atomicLoad(&edits[named_at(i)]);
    if class_index >= class_count() {
        return;
    }
    let at = first + class_index;
    let bits = logit_bits(row, class_index);
    let penalised_bits = bitcast<u32>(penalised(bitcast<f32>(bits), atomicLoad(&edits[at]), p));
    atomicStore(&edits[at], select(0u, bits ^ penalised_bits, is_valid && !is_nan_or_inf(bits)));
}

//#if HAS_BIAS_CLASSES
fn biased(bits: u32, bias: u32) -> u32 {
    if bias == NEG_INF && (bits == NEG_INF || !is_nan_or_inf(bits)) {
        return NEG_INF;
    }
    if is_nan_or_inf(bias) {
        has_error = true;
    } else if !is_nan_or_inf(bits) && (bias & 0x7fffffffu) != 0u {
        let sum = opaque(settled(bitcast<f32>(bits)) + settled(bitcast<f32>(bias)));
        return bitcast<u32>(settled(sum));
    }
    return bits;
}

fn add_bias(row: u32, i: u32, is_valid: bool) {
    let class_index = atomicLoad(&edits[bias_named_at(i)]);
    if class_index >= class_count() {
        return;
    }
    var change = atomicLoad(&edits[penalised_at(i)]);
    if is_valid {
        let bits = logit_bits(row, class_index);
        change = bits ^ biased(bits ^ change, bias_value_at(row, i));
    }
    atomicStore(&edits[first + class_index], change);
}

// Of several biases of a class the first counts, which has the largest number here.
fn add_biases(row: u32, local: u32, is_valid: bool) {
    for (var i = local; i < params.bias_length; i += WORKGROUP_SIZE) {
        let class_index = bias_class_at(row, i);
        if is_class(class_index) {
            atomicStore(&edits[penalised_at(i)], atomicLoad(&edits[first + class_index]));
        }
    }
    storageBarrier();
    for (var i = local; i < params.bias_length; i += WORKGROUP_SIZE) {
        let class_index = bias_class_at(row, i);
        if class_index < class_count() {
            atomicStore(&edits[first + class_index], 0u);
        }
    }
    storageBarrier();
    for (var i = local; i < params.bias_length; i += WORKGROUP_SIZE) {
        let class_index = bias_class_at(row, i);
        if class_index < class_count() {
            atomicMax(&edits[first + class_index], params.bias_length - i);
        }
    }
    storageBarrier();
    for (var i = local; i < params.bias_length; i += WORKGROUP_SIZE) {
        let class_index = bias_class_at(row, i);
        var named = NO_TOKEN;
        if class_index < class_count() && atomicLoad(&edits[first + class_index]) == params.bias_length - i {
            named = class_index;
        }
        atomicStore(&edits[bias_named_at(i)], named);
    }
    storageBarrier();
    for (var i = local; i < params.bias_length; i += WORKGROUP_SIZE) {
        add_bias(row, i, is_valid);
    }
}
//#end

fn run(lane: Lane) {
    let row = lane.row;
    let local = local_index(lane);
    // Work-groups past the last row, which there are in grids of two dimensions, share words that nobody reads.
    first = select(params.rows, row, lane.live) * params.edits_stride;
    for (var item = local; item < params.history_length + params.bias_length; item += WORKGROUP_SIZE) {
        clear_named(item);
    }
    if local == 0u {
        atomicStore(&edits[error_at()], 0u);
    }
    storageBarrier();
    let p = sample_params_of(row);
    let is_valid = are_valid(p);
    //#if HAS_HISTORY
    count_tokens(row, local, p.prompt_length);
    storageBarrier();
    for (var i = local; i < params.history_length; i += WORKGROUP_SIZE) {
        penalise(row, i, p, is_valid);
    }
    storageBarrier();
    //#end
    //#if HAS_BIAS_CLASSES
    add_biases(row, local, is_valid);
    //#end
    if has_error {
        atomicStore(&edits[error_at()], 1u);
    }
}
