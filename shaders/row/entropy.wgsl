// The entropy of a row, -sum of y ln y = ln d - (sum of e (a - m)) / d.

//#import "row/stats"

fn entropy_bits(row: Stats) -> u32 {
    if has_nan_or_inf(row.max_key) {
        return NAN;
    }
    if row.max_key == KEY_NEG_INF {
        return fully_masked_bits(0u, ln_class_count());
    }
    let ln_sum = ln_sum_of(row);
    return bitcast<u32>(add(ln_sum.x, mul_add(-row.entropy_sum, inv_sum_of(row), ln_sum.y)));
}
