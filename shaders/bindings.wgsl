// The buffers that belong to options: how each is read or written where the kernel has it, and what takes its place
// where the kernel does not. Their numbers are those of `Slot` in src/shader/slot.rs; a test compares them. Buffers
// laid out as the logits are belong to io/load.wgsl and io/write.wgsl.

//#import "math"

// A class index for each row.
const TARGETS: u32 = 4u;
//#if HAS_TARGETS
@group(0) @binding(TARGETS) var<storage, read> targets: array<u32>;

fn targets_at(row: u32) -> u32 {
    return targets[offset_of(TARGETS) + row];
}
//#else
fn targets_at(row: u32) -> u32 {
    return 0u;
}
//#end

// What a row's gradient is multiplied by.
const GRAD_SCALE: u32 = 5u;
//#if HAS_GRAD_SCALE
@group(0) @binding(GRAD_SCALE) var<storage, read> grad_scale: array<f32>;

fn grad_scale_at(i: u32) -> f32 {
    return grad_scale[offset_of(GRAD_SCALE) + i];
}
//#end

// One number, which the gradients of all rows are multiplied by, once it is divided by a denominator that the host
// knows.
const UPSTREAM: u32 = 22u;
//#if HAS_UPSTREAM
//#import "loss/scale"
@group(0) @binding(UPSTREAM) var<storage, read> upstream: array<f32>;
//#end

//#if !HAS_GRAD_SCALE
fn grad_scale_at(i: u32) -> f32 {
    //#if HAS_UPSTREAM
    return bitcast<f32>(scale_over(upstream[offset_of(UPSTREAM)], params.normalizer));
    //#else
    return 1.0;
    //#end
}
//#end

// Added to the logits, as bits of f32: one for each class, or laid out as the logits are.
// Binary cross-entropy binds the weights of classes or elements here.
const MASK: u32 = 14u;
// What a mask is: `MaskKind` in src/shader/spec.rs.
const MASK_NONE: u32 = 0u;
const MASK_CAUSAL: u32 = 1u;
const MASK_PER_CLASS: u32 = 2u;
const MASK_FULL: u32 = 3u;
//#if HAS_MASK
@group(0) @binding(MASK) var<storage, read> mask: array<u32>;

fn mask_at(i: u32) -> u32 {
    return mask[offset_of(MASK) + i];
}
//#else
fn mask_at(i: u32) -> u32 {
    return 0u;
}
//#end

// Added to the scaled logits of each class, as bits of f32.
const BIAS: u32 = 15u;
//#if HAS_BIAS
@group(0) @binding(BIAS) var<storage, read> bias: array<u32>;

fn bias_at(class_index: u32) -> u32 {
    return bias[offset_of(BIAS) + class_index];
}
//#else
fn bias_at(class_index: u32) -> u32 {
    return 0u;
}
//#end

// What the logits of each row are multiplied by.
const ROW_SCALE: u32 = 16u;
//#if HAS_ROW_SCALE
@group(0) @binding(ROW_SCALE) var<storage, read> row_scale: array<f32>;

fn row_scale_at(row: u32) -> f32 {
    return row_scale[offset_of(ROW_SCALE) + row];
}
//#else
fn row_scale_at(row: u32) -> f32 {
    return 1.0;
}
//#end

// A weight for each class.
const WEIGHTS: u32 = 17u;
//#if HAS_WEIGHTS
@group(0) @binding(WEIGHTS) var<storage, read> weights: array<f32>;

fn weights_at(class_index: u32) -> f32 {
    return weights[offset_of(WEIGHTS) + class_index];
}
//#else
fn weights_at(class_index: u32) -> f32 {
    return 1.0;
}
//#end

// A weight for each row.
const ROW_WEIGHTS: u32 = 46u;
//#if HAS_ROW_WEIGHTS
@group(0) @binding(ROW_WEIGHTS) var<storage, read> row_weights: array<f32>;

fn row_weights_at(row: u32) -> f32 {
    return row_weights[offset_of(ROW_WEIGHTS) + row];
}
//#else
fn row_weights_at(row: u32) -> f32 {
    return 1.0;
}
//#end

// A row of weight 0 takes no part.
fn is_left_out(row: u32) -> bool {
    return HAS_ROW_WEIGHTS && (bitcast<u32>(row_weights_at(row)) & 0x7fffffffu) == 0u;
}

// One more logit in each row's denominator, as bits of f32.
const SINK: u32 = 47u;
//#if HAS_SINK
@group(0) @binding(SINK) var<storage, read> sink: array<u32>;

fn sink_at(row: u32) -> u32 {
    return sink[offset_of(SINK) + row * params.sink_stride];
}
//#else
fn sink_at(row: u32) -> u32 {
    return NEG_INF;
}
//#end

// The lse of each row that a forward pass left, as bits of f32.
const SAVED_LSE: u32 = 18u;
//#if HAS_SAVED_LSE
@group(0) @binding(SAVED_LSE) var<storage, read> saved_lse: array<u32>;

fn saved_lse_at(row: u32) -> u32 {
    return saved_lse[offset_of(SAVED_LSE) + row];
}
//#else
fn saved_lse_at(row: u32) -> u32 {
    return NAN;
}
//#end

// The gradient of each row's sink.
const SINK_GRAD: u32 = 48u;
//#if HAS_SINK_GRAD
@group(0) @binding(SINK_GRAD) var<storage, read_write> sink_grad: array<u32>;

fn put_sink_grad(row: u32, bits: u32) {
    sink_grad[offset_of(SINK_GRAD) + row] = bits;
}
//#else
fn put_sink_grad(row: u32, bits: u32) {
}
//#end

// The weight of each class's positive examples.
const POS_WEIGHTS: u32 = 19u;
//#if HAS_POS_WEIGHTS
@group(0) @binding(POS_WEIGHTS) var<storage, read> pos_weights: array<f32>;

fn pos_weights_at(class_index: u32) -> f32 {
    return pos_weights[offset_of(POS_WEIGHTS) + class_index];
}
//#else
fn pos_weights_at(class_index: u32) -> f32 {
    return 1.0;
}
//#end

// The loss of each row, or of each element with binary cross-entropy.
const LOSS: u32 = 6u;
//#if HAS_LOSS
@group(0) @binding(LOSS) var<storage, read_write> loss: array<u32>;

fn put_loss(row: u32, bits: u32) {
    loss[offset_of(LOSS) + row] = bits;
}
//#else
fn put_loss(row: u32, bits: u32) {
}
//#end

// m + ln d of each row.
const LSE: u32 = 7u;
//#if HAS_LSE
@group(0) @binding(LSE) var<storage, read_write> lse: array<u32>;

fn put_lse(row: u32, bits: u32) {
    lse[offset_of(LSE) + row] = bits;
}
//#else
fn put_lse(row: u32, bits: u32) {
}
//#end

// The first largest class of each row. Until the rows are counted that are right, those are marked that never are: with a NaN, +inf
// or -inf alone.
const ARGMAX: u32 = 8u;
const ODD_ROW: u32 = 0x80000000u;
//#if HAS_ARGMAX
@group(0) @binding(ARGMAX) var<storage, read_write> argmax: array<u32>;

fn put_argmax(row: u32, bits: u32) {
    argmax[offset_of(ARGMAX) + row] = bits;
}
//#else
fn put_argmax(row: u32, bits: u32) {
}
//#end

// The part z_loss * lse^2 of each row's loss.
const ROW_Z_LOSS: u32 = 9u;
//#if HAS_ROW_Z_LOSS
@group(0) @binding(ROW_Z_LOSS) var<storage, read_write> row_z_loss: array<u32>;

fn put_row_z_loss(row: u32, bits: u32) {
    row_z_loss[offset_of(ROW_Z_LOSS) + row] = bits;
}
//#else
fn put_row_z_loss(row: u32, bits: u32) {
}
//#end

// The logarithm of the target's probability.
const LOG_PROB: u32 = 10u;
//#if HAS_LOG_PROB
@group(0) @binding(LOG_PROB) var<storage, read_write> log_prob: array<u32>;

fn put_log_prob(row: u32, bits: u32) {
    log_prob[offset_of(LOG_PROB) + row] = bits;
}
//#else
fn put_log_prob(row: u32, bits: u32) {
}
//#end

// -sum of y ln y of each row.
const ENTROPY: u32 = 11u;
//#if HAS_ENTROPY
@group(0) @binding(ENTROPY) var<storage, read_write> entropy: array<u32>;

fn put_entropy(row: u32, bits: u32) {
    entropy[offset_of(ENTROPY) + row] = bits;
}
//#else
fn put_entropy(row: u32, bits: u32) {
}
//#end
