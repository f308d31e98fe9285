// What a softmax needs of a row of x that begins at `begin` and has dims.c elements. Behind
// common/row_reduce.wgsl and common/long_sum.wgsl, by a workgroup of 64.

// A NaN is the largest.
fn row_largest(lane: u32, begin: u32) -> f32 {
    var largest = x[begin];
    for (var j = lane; j < dims.c; j += 64u) {
        largest = larger(largest, x[begin + j]);
    }
    return workgroup_max(lane, largest);
}

// The sum of exp(x - largest).
fn row_exps(lane: u32, begin: u32, largest: f32) -> f32 {
    var exps = LongSum();
    for (var first = lane; first < dims.c; first += PART * 64u) {
        var part = 0.0;
        let end = min(dims.c, first + PART * 64u);
        for (var j = first; j < end; j += 64u) { part += exp1(x[begin + j] - largest); }
        add_part(&exps, part);
    }
    return workgroup_sum(lane, all_parts(exps));
}
