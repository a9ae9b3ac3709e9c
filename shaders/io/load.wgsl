// Reads what is laid out as the logits are, four neighbouring classes at a time, as the bits of f32: the logits, and
// other matrices of their type. VectorWidth says how many elements one load takes:
// X4  needs classes, strides and offsets that are multiples of four, and the class axis last (inner = 1);
// X2  needs them even, and the class axis last;
// X1  takes any number of classes, any stride, any offset, the class axis anywhere.
// No load is in a branch, because lanes take the sides of a branch in turn: an index past the end loads the last element
// again. With IS_FULL the lanes hold exactly the classes of a row, so that no index is past the end.

//#import "math"

const LOGITS: u32 = 1u;
const RESULT: u32 = 2u;
const SOFT_TARGETS: u32 = 12u;
const SOFTCAP_LOGITS: u32 = 13u;
const UPSTREAM_MATRIX: u32 = 20u;
const DIRECTION: u32 = 49u;

// What one load brings: X4, X2 or X1 elements, or, with 16-bit elements and X1, the word that an element is half of.
//#if LOGITS_F32
//#if X4
alias Source = vec4<u32>;
//#end
//#if X2
alias Source = vec2<u32>;
//#end
//#if X1
alias Source = u32;
//#end
//#else
//#if X4
alias Source = vec2<u32>;
//#else
alias Source = u32;
//#end
//#end

// In place, the result's buffer (io/write.wgsl) holds the logits; a lane reads its own logits before it writes there,
// and no other lane's.
//#if IN_PLACE
fn read_logits(i: u32) -> Source {
    //#if RESULT_IS_ATOMIC
    return atomicLoad(&result[i]);
    //#else
    return result[i];
    //#end
}
//#else
@group(0) @binding(LOGITS) var<storage, read> logits: array<Source>;

fn read_logits(i: u32) -> Source {
    return logits[i];
}
//#end

//#if HAS_SOFT_TARGETS
@group(0) @binding(SOFT_TARGETS) var<storage, read> soft_targets: array<Source>;
//#end

//#if HAS_SOFTCAP_LOGITS
// The stored logits, in a backward pass that has something else in their place.
@group(0) @binding(SOFTCAP_LOGITS) var<storage, read> softcap_logits: array<Source>;
//#end

//#if HAS_UPSTREAM_MATRIX
@group(0) @binding(UPSTREAM_MATRIX) var<storage, read> upstream_matrix: array<Source>;
//#end

//#if HAS_DIRECTION
// What a Hessian is multiplied by.
@group(0) @binding(DIRECTION) var<storage, read> direction: array<Source>;

fn direction_vec4(start: u32, index: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(source_vec4(DIRECTION, start, index, 0u));
}
//#end

fn read_source(which: u32, i: u32) -> Source {
    //#if HAS_SOFT_TARGETS
    if which == SOFT_TARGETS {
        return soft_targets[i];
    }
    //#end
    //#if HAS_SOFTCAP_LOGITS
    if which == SOFTCAP_LOGITS {
        return softcap_logits[i];
    }
    //#end
    //#if HAS_UPSTREAM_MATRIX
    if which == UPSTREAM_MATRIX {
        return upstream_matrix[i];
    }
    //#end
    //#if HAS_DIRECTION
    if which == DIRECTION {
        return direction[i];
    }
    //#end
    return read_logits(i);
}

//#if !LOGITS_F32
// Converts four elements, two to a word, to the bits of f32: exactly, on every adapter tried (tests/dtypes.rs).
fn widen4(words: vec2<u32>) -> vec4<u32> {
    //#if LOGITS_BF16
    return vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u);
    //#end
    //#if LOGITS_F16
    return bitcast<vec4<u32>>(vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)));
    //#end
}
//#end

// `source_vec4` loads classes 4 index .. 4 index + 3 of a row that begins at element `start`, as the bits of f32; classes
// past the last are `fill`. `source_around` loads the vec4 of one class, of which only that class is sure to be right.

//#if X4
fn load_four(which: u32, start: u32, index: u32) -> vec4<u32> {
    let last = end_class() / 4u - 1u;
    let place = place_of(select(min(index, last), index, IS_FULL), 4u);
    let words = read_source(which, (offset_of(which) + start) / 4u + place);
    //#if LOGITS_F32
    return words;
    //#else
    return widen4(words);
    //#end
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    return load_four(which, start, class_index / 4u);
}
//#end

//#if X2
fn source_pair(which: u32, start: u32, pair: u32) -> Source {
    let last = end_class() / 2u - 1u;
    let place = place_of(select(min(pair, last), pair, IS_FULL), 2u);
    return read_source(which, (offset_of(which) + start) / 2u + place);
}

fn of_pairs(a: Source, b: Source) -> vec4<u32> {
    //#if LOGITS_F32
    return vec4<u32>(a, b);
    //#else
    return widen4(vec2<u32>(a, b));
    //#end
}

fn load_four(which: u32, start: u32, index: u32) -> vec4<u32> {
    return of_pairs(source_pair(which, start, index * 2u), source_pair(which, start, index * 2u + 1u));
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    let pair = source_pair(which, start, class_index / 2u);
    return of_pairs(pair, pair);
}
//#end

//#if X1
fn source_one(which: u32, start: u32, class_index: u32) -> u32 {
    let safe_class = select(min(class_index, end_class() - 1u), class_index, IS_FULL);
    let element = offset_of(which) + start + place_of(safe_class, 1u) * params.inner;
    //#if LOGITS_F32
    return read_source(which, element);
    //#else
    return (read_source(which, element / 2u) >> (16u * (element % 2u))) & 0xffffu;
    //#end
}

fn of_ones(stored: vec4<u32>) -> vec4<u32> {
    //#if LOGITS_F32
    return stored;
    //#else
    return widen4(stored.xz | (stored.yw << vec2<u32>(16u)));
    //#end
}

fn load_four(which: u32, start: u32, index: u32) -> vec4<u32> {
    let c = index * 4u;
    return of_ones(vec4<u32>(
        source_one(which, start, c),
        source_one(which, start, c + 1u),
        source_one(which, start, c + 2u),
        source_one(which, start, c + 3u),
    ));
}

fn source_around(which: u32, start: u32, class_index: u32) -> vec4<u32> {
    return of_ones(vec4<u32>(source_one(which, start, class_index)));
}
//#end

fn source_vec4(which: u32, start: u32, index: u32, fill: u32) -> vec4<u32> {
    let four = load_four(which, start, index);
    if IS_FULL {
        return four;
    }
    //#if X4
    return select(four, vec4<u32>(fill), index >= class_count() / 4u);
    //#else
    return select(four, vec4<u32>(fill), classes_of(index) >= vec4<u32>(class_count()));
    //#end
}

// Missing classes count as -inf, but as one that no compiler knows: one that assumes that nothing is infinite may do
// anything with it.
fn load_vec4(start: u32, index: u32) -> vec4<u32> {
    return source_vec4(LOGITS, start, index, NEG_INF ^ params.zero);
}

fn load_around(start: u32, class_index: u32) -> vec4<u32> {
    return source_around(LOGITS, start, class_index);
}

fn classes_of(index: u32) -> vec4<u32> {
    return vec4<u32>(index * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
}

// The element at which a row begins.
fn row_start(row: u32) -> u32 {
    //#if IS_RAGGED
    return row_first;
    //#else
    // Divisions are slow, so this case does without.
    if params.inner == 1u {
        return row * params.outer_stride;
    }
    return (row / params.inner) * params.outer_stride + row % params.inner;
    //#end
}
