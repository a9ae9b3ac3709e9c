// What the penalties for a row's history, and biases of some classes, make of logits: for the classes that they name, a bit
// each and their new values in the order of classes (`edits` in sample/values.wgsl). A work-group has a row to itself.
//   a in the history:  a > 0 ? a / repetition : a * repetition;  - frequency * n - [n > 0] presence,  n times after the prompt
//   then:              a + bias
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

const NO_TOKEN: u32 = 0xffffffffu;
const IN_HISTORY: u32 = 0x80000000u;

// The bits of the classes that each lane counts.
var<workgroup> bit_counts: array<u32, WORKGROUP_SIZE>;
var<private> first: u32;

// History and biases, one after the other.
fn item_count() -> u32 {
    return params.history_length + params.bias_length;
}

fn item_class(row: u32, item: u32) -> u32 {
    if item < params.history_length {
        return history_at(row, item);
    }
    return bias_class_at(row, item - params.history_length);
}

fn word_count() -> u32 {
    return (class_count() + 31u) / 32u;
}

// Where the value of an edited class is; its count and its first bias are `item_count` and twice as many words behind.
fn value_of(class_index: u32) -> u32 {
    let word = class_index / 32u;
    let below = (1u << (class_index % 32u)) - 1u;
    let before = atomicLoad(&edits[first + word_count() + word]) + countOneBits(atomicLoad(&edits[first + word]) & below);
    return first + 2u * word_count() + 1u + before;
}

fn report_error() {
    atomicStore(&edits[first + 2u * word_count()], 1u);
}

fn mark(row: u32, item: u32) {
    let class_index = item_class(row, item);
    if class_index < class_count() {
        atomicOr(&edits[first + class_index / 32u], 1u << (class_index % 32u));
    } else if class_index != NO_TOKEN {
        report_error();
    }
}

fn count_bits(local: u32) {
    let run = (word_count() + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
    let begin = min(local * run, word_count());
    let end = min(begin + run, word_count());
    var count = 0u;
    for (var i = begin; i < end; i++) {
        count += countOneBits(atomicLoad(&edits[first + i]));
    }
    bit_counts[local] = count;
    workgroupBarrier();
    var before = 0u;
    for (var i = 0u; i < local; i++) {
        before += bit_counts[i];
    }
    for (var i = begin; i < end; i++) {
        atomicStore(&edits[first + word_count() + i], before);
        before += countOneBits(atomicLoad(&edits[first + i]));
    }
}

fn count_item(row: u32, item: u32, prompt_length: u32) {
    let class_index = item_class(row, item);
    if class_index >= class_count() {
        return;
    }
    let value = value_of(class_index);
    if item >= params.history_length {
        // The first of several has the largest number.
        atomicMax(&edits[value + 2u * item_count()], item_count() - item);
        return;
    }
    atomicOr(&edits[value + item_count()], IN_HISTORY);
    if item >= prompt_length {
        atomicAdd(&edits[value + item_count()], 1u);
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
    if counts >= IN_HISTORY && p.repetition != 1.0 {
        if x > 0.0 {
            x = divide_rounded(x, p.repetition);
        } else {
            x = settled(mul(settled(x), p.repetition));
        }
    }
    let n = counts & (IN_HISTORY - 1u);
    if n > 0u && (p.frequency != 0.0 || p.presence != 0.0) {
        x = settled(opaque(settled(x) - settled(mul(p.frequency, f32(n)))));
        x = settled(opaque(x - settled(p.presence)));
    }
    return x;
}

fn edit(row: u32, start: u32, item: u32, p: SampleParams) {
    let class_index = item_class(row, item);
    if class_index >= class_count() {
        return;
    }
    let value = value_of(class_index);
    let lane = Lane(0u, 0u, row, true, 0u, 0u);
    let index = class_index / 4u;
    var bits = adjust_logits(load_vec4(start, index), start, index, lane)[class_index % 4u];
    if !is_nan_or_inf(bits) {
        bits = bitcast<u32>(penalised(bitcast<f32>(bits), atomicLoad(&edits[value + item_count()]), p));
    }
    let first_bias = atomicLoad(&edits[value + 2u * item_count()]);
    if first_bias > 0u {
        let bias = bias_value_at(row, item_count() - first_bias - params.history_length);
        if bias == NEG_INF && (bits == NEG_INF || !is_nan_or_inf(bits)) {
            bits = NEG_INF;
        } else if is_nan_or_inf(bias) {
            report_error();
        } else if !is_nan_or_inf(bits) && (bias & 0x7fffffffu) != 0u {
            let sum = opaque(settled(bitcast<f32>(bits)) + settled(bitcast<f32>(bias)));
            bits = bitcast<u32>(settled(sum));
        }
    }
    atomicStore(&edits[value], bits);
}

fn run(lane: Lane) {
    let row = lane.row;
    let local = lane.chunk * LANES + lane.index;
    first = row * params.edits_stride;
    for (var i = local; i < params.edits_stride; i += WORKGROUP_SIZE) {
        atomicStore(&edits[first + i], 0u);
    }
    storageBarrier();
    for (var item = local; item < item_count(); item += WORKGROUP_SIZE) {
        mark(row, item);
    }
    storageBarrier();
    count_bits(local);
    storageBarrier();
    let p = sample_params_of(row);
    for (var item = local; item < item_count(); item += WORKGROUP_SIZE) {
        count_item(row, item, p.prompt_length);
    }
    storageBarrier();
    if are_valid(p) {
        for (var item = local; item < item_count(); item += WORKGROUP_SIZE) {
            edit(row, row_start(row), item, p);
        }
    }
}
