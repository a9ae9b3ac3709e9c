// What a loss sums besides exponentials where every class has a target: s_c = w_c ((1 - e) q_c + e / C), with q the
// soft targets, or 0 where a class index is the target and e, the label smoothing, is spread over all classes.

//#import "bindings"
//#import "io/load"

fn soft_target_vec4(start: u32, index: u32) -> vec4<f32> {
    //#if IS_RAGGED
    var s = vec4<f32>(row_smoothing);
    //#else
    var s = vec4<f32>(params.smoothing_per_class);
    //#end
    if HAS_SOFT_TARGETS {
        let q = bitcast<vec4<f32>>(source_vec4(SOFT_TARGETS, start, index, 0u));
        s = mul_add4(q, vec4<f32>(params.one_minus_smoothing), s);
    }
    let c = classes_of(index);
    if HAS_WEIGHTS {
        let at = min(c, vec4<u32>(class_count() - 1u));
        s = mul4(s, vec4<f32>(weights_at(at.x), weights_at(at.y), weights_at(at.z), weights_at(at.w)));
    }
    return select(s, vec4<f32>(0.0), c >= vec4<u32>(class_count()));
}

// (x - m) / 2, which does not overflow where x - m does.
fn half_diff4(bits: vec4<u32>, base: f32) -> vec4<f32> {
    return fma(bitcast<vec4<f32>>(bits), vec4<f32>(0.5), vec4<f32>(-0.5 * base));
}

fn target_term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, base: f32) -> vec4<f32> {
    let s = soft_target_vec4(start, index);
    if kind == TARGET_SUM {
        return s;
    }
    let product = mul4(s, half_diff4(bits, base));
    return select(product, vec4<f32>(0.0), bits == vec4<u32>(NEG_INF));
}

fn target_error_vec4(bits: vec4<u32>, start: u32, index: u32) -> i32 {
    let magnitude = bitcast<vec4<u32>>(soft_target_vec4(start, index)) & vec4<u32>(0x7fffffffu);
    if any(magnitude > vec4<u32>(POS_INF)) {
        return TARGET_IS_NAN;
    }
    //#if HAS_DIVERGENCE
    // What is below 0 has no logarithm.
    if any(soft_target_vec4(start, index) < vec4<f32>(0.0)) {
        return TARGET_IS_NAN;
    }
    //#end
    let is_on_neg_inf = any((magnitude != vec4<u32>(0u)) & (bits == vec4<u32>(NEG_INF)));
    return select(TARGET_OK, TARGET_ON_NEG_INF, is_on_neg_inf);
}
