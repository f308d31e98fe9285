// attention_softmax_bwd: d_scores_t = weights_t (d_weights_t - sum_t weights_t d_weights_t), in the place
// of d_weights; 0 at steps that do not count.
//
// Shapes  weights, d_scores: [B,U,T]
// Grid    rowwise, n = B*U: a query
// Twin    src/ops/attention/cpu/

struct Dims { n: u32, u: u32, t: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> steps: array<u32>;           // common/steps.wgsl
@group(0) @binding(2) var<storage, read> weights: array<f32>;         // [B,U,T]
@group(0) @binding(3) var<storage, read_write> d_scores: array<f32>;  // [B,U,T]

fn take_row(query: u32, lane: u32) {
    let row = query / dims.u;
    let first = query * dims.t;
    var sum = LongSum();
    for (var begin = lane; begin < dims.t; begin += PART * 64u) {
        var part = 0.0;
        let end = min(dims.t, begin + PART * 64u);
        for (var t = begin; t < end; t += 64u) {
            if counts(row, t, dims.t) { part += weights[first + t] * d_scores[first + t]; }
        }
        add_part(&sum, part);
    }
    let dot = workgroup_sum(lane, all_parts(sum));
    for (var t = lane; t < dims.t; t += 64u) {
        var d = 0.0;
        if counts(row, t, dims.t) { d = weights[first + t] * (d_scores[first + t] - dot); }
        d_scores[first + t] = d;
    }
}
