// Writes the result of the chunk that is held: a kernel defines `Row`, of which `is_uniform` says whether all results
// are one `word`, and `result_vec4`, which gives the result of four neighbouring classes as the bits of f32 otherwise.
// They are stored as io/load.wgsl reads the logits, X4, X2 or X1 elements at once. Without a result of the logits' shape
// nothing is stored here.

//#import "io/load"
//#import "row/registers"

//#if HAS_RESULT
//#if RESULT_F32
//#if X4
alias Packed = vec4<u32>;
//#end
//#if X2
alias Packed = vec2<u32>;
//#end
//#if X1
alias Packed = u32;
//#end
//#else
//#if X4
alias Packed = vec2<u32>;
//#end
//#if X2
alias Packed = u32;
//#end
//#if X1
// A word may be shared with another lane or row, or with data that is not part of the result, so each half is written
// by itself.
alias Packed = atomic<u32>;
//#end
//#end

@group(0) @binding(RESULT) var<storage, read_write> result: array<Packed>;

// Converts the bits of f32 to elements of the result's type, rounded to the nearest, ties to even; NaN stays NaN.
fn narrow4(bits: vec4<u32>) -> vec4<u32> {
    //#if RESULT_F32
    return bits;
    //#end
    //#if RESULT_BF16
    let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(POS_INF);
    return select(narrow_number4(bits), vec4<u32>(NAN >> 16u), is_nan);
    //#end
    //#if RESULT_F16
    let sign = (bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    // Values of 65,520 or more round to infinity.
    let halves = min(narrow_number4(magnitude), vec4<u32>(0x7c00u));
    return sign | select(halves, vec4<u32>(0x7e00u), magnitude > vec4<u32>(POS_INF));
    //#end
}

//#if RESULT_BF16
// The same for what is not a NaN.
fn narrow_number4(bits: vec4<u32>) -> vec4<u32> {
    return (bits + vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u))) >> vec4<u32>(16u);
}
//#end
//#if RESULT_F16
// The same for what has no sign, and an exponent beyond that of f16 where it is too large. A number of 13 bits less is
// what adding 2^13 times the power of two in it leaves; below 2^-14, all numbers are multiples of 2^-24.
fn narrow_number4(bits: vec4<u32>) -> vec4<u32> {
    let power = max(bits & vec4<u32>(0x7f800000u), vec4<u32>(0x38800000u));
    let large = power + vec4<u32>(13u << 23u);
    let mantissa = bitcast<vec4<u32>>(bitcast<vec4<f32>>(bits) + bitcast<vec4<f32>>(large)) - large;
    return mantissa + ((power - vec4<u32>(0x38800000u)) >> vec4<u32>(13u));
}
//#end

// For probabilities, which are neither NaN nor infinite nor negative.
fn narrow_probs4(bits: vec4<u32>) -> vec4<u32> {
    //#if RESULT_F32
    return bits;
    //#else
    return narrow_number4(bits);
    //#end
}

fn pack_halves(halves: vec2<u32>) -> u32 {
    return halves.x | (halves.y << 16u);
}

// `store_vec4` stores four elements that are converted already.

//#if X4
fn store_vec4(start: u32, index: u32, stored: vec4<u32>) {
    if IS_FULL || index * 4u < end_class() {
        let at = (offset_of(RESULT) + start) / 4u + place_of(index, 4u);
        //#if RESULT_F32
        result[at] = stored;
        //#else
        result[at] = vec2<u32>(pack_halves(stored.xy), pack_halves(stored.zw));
        //#end
    }
}
//#end

//#if X2
fn store_pair(at: u32, stored: vec2<u32>) {
    //#if RESULT_F32
    result[at] = stored;
    //#else
    result[at] = pack_halves(stored);
    //#end
}

fn store_vec4(start: u32, index: u32, stored: vec4<u32>) {
    let at = (offset_of(RESULT) + start) / 2u + place_of(index * 2u, 2u);
    if IS_FULL || index * 4u < end_class() {
        store_pair(at, stored.xy);
    }
    if IS_FULL || index * 4u + 2u < end_class() {
        store_pair(at + 1u, stored.zw);
    }
}
//#end

//#if X1
fn store_one(start: u32, class_index: u32, stored: u32) {
    if IS_FULL || class_index < end_class() {
        let element = offset_of(RESULT) + start + place_of(class_index, 1u) * params.inner;
        //#if RESULT_F32
        result[element] = stored;
        //#else
        let shift = 16u * (element % 2u);
        atomicAnd(&result[element / 2u], ~(0xffffu << shift));
        atomicOr(&result[element / 2u], stored << shift);
        //#end
    }
}

fn store_vec4(start: u32, index: u32, stored: vec4<u32>) {
    let c = index * 4u;
    //#if !RESULT_F32
    // Where the four elements fill two words, no other lane has a part of these.
    let element = offset_of(RESULT) + start + place_of(c, 1u);
    if params.inner == 1u && element % 2u == 0u && c + 3u < end_class() {
        atomicStore(&result[element / 2u], pack_halves(stored.xy));
        atomicStore(&result[element / 2u + 1u], pack_halves(stored.zw));
        return;
    }
    //#end
    store_one(start, c, stored.x);
    store_one(start, c + 1u, stored.y);
    store_one(start, c + 2u, stored.z);
    store_one(start, c + 3u, stored.w);
}
//#end

// Stores one element of a vec4 that the lane has stored before, `stored` being converted already.
fn store_class(start: u32, class_index: u32, stored: u32) {
    //#if X1
    store_one(start, class_index, stored);
    //#else
    let element = offset_of(RESULT) + start + place_of(class_index, 1u);
    //#if RESULT_F32
    //#if X4
    result[element / 4u][element % 4u] = stored;
    //#else
    result[element / 2u][element % 2u] = stored;
    //#end
    //#else
    let shift = 16u * (element % 2u);
    //#if X4
    let word = result[element / 4u][element / 2u % 2u];
    result[element / 4u][element / 2u % 2u] = (word & ~(0xffffu << shift)) | (stored << shift);
    //#else
    let word = result[element / 2u];
    result[element / 2u] = (word & ~(0xffffu << shift)) | (stored << shift);
    //#end
    //#end
    //#end
}

fn write_reg(reg: u32, start: u32, chunk: u32, lane: Lane, row: Row) {
    if reg < USED_REGS {
        let index = vec4_index_of(reg, chunk, lane);
        //#if HAS_TEACHER
        teacher_exp = bitcast<vec4<f32>>(teacher_regs[reg]);
        //#end
        let bits = result_vec4(regs[reg], start, index, lane, row);
        //#if IS_RASTERISER
        store_vec4(start, index, narrow4(select(bits, vec4<u32>(row.word), row.is_uniform)));
        //#else
        //#if IS_PROBS
        store_vec4(start, index, narrow_probs4(bits));
        //#else
        store_vec4(start, index, narrow4(bits));
        //#end
        //#end
    }
}

fn write_chunk(start: u32, chunk: u32, lane: Lane, row: Row) {
    // The lanes of a rasteriser take both sides of a branch, whatever the condition: there, write_reg selects.
    //#if !IS_RASTERISER
    if row.is_uniform {
        let stored = narrow4(vec4<u32>(row.word));
        for (var reg = 0u; reg < USED_REGS; reg++) {
            store_vec4(start, vec4_index_of(reg, chunk, lane), stored);
        }
        return;
    }
    //#end
    //#if HAS_EQUAL_EXP
    if row.is_equal {
        equalize_exp();
    }
    //#end
    //#unroll REGS_PER_LANE
    write_reg($iu, start, chunk, lane, row);
    //#end
}
//#else
// A kernel whose result is written by `result_vec4` itself.
fn write_reg(reg: u32, start: u32, chunk: u32, lane: Lane, row: Row) {
    if reg < USED_REGS {
        let index = vec4_index_of(reg, chunk, lane);
        _ = result_vec4(regs[reg], start, index, lane, row);
    }
}

fn write_chunk(start: u32, chunk: u32, lane: Lane, row: Row) {
    //#unroll REGS_PER_LANE
    write_reg($iu, start, chunk, lane, row);
    //#end
}
//#end
