// attention_softmax: weights = softmax over the steps that count of the scores, in their place; 0 at
// the other steps.
//
// Shapes  weights: [B,U,T], before of scores
// Grid    rowwise, n = B*U: a query
// Twin    src/ops/attention/cpu/

struct Dims { n: u32, u: u32, t: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> steps: array<u32>;          // common/steps.wgsl
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;  // [B,U,T]

fn take_row(query: u32, lane: u32) {
    let row = query / dims.u;
    let first = query * dims.t;
    var largest = -3.4e38;
    for (var t = lane; t < dims.t; t += 64u) {
        if counts(row, t, dims.t) { largest = larger(largest, weights[first + t]); }
    }
    largest = workgroup_max(lane, largest);
    var exps = LongSum();
    for (var begin = lane; begin < dims.t; begin += PART * 64u) {
        var part = 0.0;
        let end = min(dims.t, begin + PART * 64u);
        for (var t = begin; t < end; t += 64u) {
            var e = 0.0;
            if counts(row, t, dims.t) { e = exp1(weights[first + t] - largest); }
            weights[first + t] = e;
            part += e;
        }
        add_part(&exps, part);
    }
    let sum = workgroup_sum(lane, all_parts(exps));
    for (var t = lane; t < dims.t; t += 64u) {
        // Not 0/0 where no step counts.
        if counts(row, t, dims.t) { weights[first + t] /= sum; }
    }
}
