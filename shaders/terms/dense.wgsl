// As terms/exp.wgsl, for targets that every class has a share of: s_c = w_c ((1 - e) q_c + e / C), with q the soft
// targets, or 0 where a class index is the target.

fn dense_quad(start: u32, quad: u32) -> vec4<f32> {
    var s = vec4<f32>(params.spread);
    if HAS_OTHER {
        s = mul4(other_quad(start, quad), vec4<f32>(params.kept)) + s;
    }
    let c = classes_of(quad);
    if HAS_WEIGHTS {
        let at = min(c, vec4<u32>(class_count() - 1u));
        s = mul4(s, vec4<f32>(weights_at(at.x), weights_at(at.y), weights_at(at.z), weights_at(at.w)));
    }
    return select(s, vec4<f32>(0.0), c >= vec4<u32>(class_count()));
}

fn term_quad(kind: u32, bits: vec4<u32>, start: u32, quad: u32, largest: f32) -> vec4<f32> {
    if kind == SUM || kind == HEAT {
        let e = exp_quad(bits, largest);
        if kind == HEAT {
            return heat_quad(e, bits, largest);
        }
        return e;
    }
    let s = dense_quad(start, quad);
    if kind == DENSE {
        return s;
    }
    let product = mul4(s, bitcast<vec4<f32>>(bits) - vec4<f32>(largest));
    return select(product, vec4<f32>(0.0), bits == vec4<u32>(NEG_INF));
}

fn flaw_quad(bits: vec4<u32>, start: u32, quad: u32) -> i32 {
    let size = bitcast<vec4<u32>>(dense_quad(start, quad)) & vec4<u32>(0x7fffffffu);
    if any(size > vec4<u32>(POS_INF)) {
        return 2;
    }
    return select(0, 1, any((size != vec4<u32>(0u)) & (bits == vec4<u32>(NEG_INF))));
}
