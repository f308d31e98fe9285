// What a softmax needs of a row of x that begins at `begin` and has `c` elements, in one visit: a part is
// read again while it is near, and what was summed before is scaled where it has a larger element. Behind
// common/row_shared.wgsl and common/long_sum.wgsl.

struct Exps { largest: f32, sum: f32 }

// No number is less. Not the infinity, of which the difference to itself is NaN.
const LOWEST = -3.4028234e38;

// The largest x and the sum of exp(x - largest), both NaN if one is.
fn row_exps(begin: u32, lane: u32, c: u32) -> Exps {
    var largest = LOWEST;
    var exps = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        let end = min(c, first + PART * dims.lanes);
        var most = largest;
        for (var j = first; j < end; j += dims.lanes) { most = larger(most, x[begin + j]); }
        var part = 0.0;
        for (var j = first; j < end; j += dims.lanes) { part += exp1(x[begin + j] - most); }
        scale_parts(&exps, exp1(largest - most));
        add_part(&exps, part);
        largest = most;
    }
    let all = row_max(largest);
    return Exps(all, row_sum(all_parts(exps) * exp1(largest - all)));
}
