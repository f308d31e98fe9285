// attention_scores_bwd: with d_w_t = sum_j d_context_j values_tj,
//   d_scores_t = weights_t (d_w_t - sum_t weights_t d_w_t).
//
// Shapes  values: [B,T,V]; weights, d_scores: [B,U,T]; d_context: [B,U,V]
// Grid    rowwise, n = B*U: a query
// Twin    src/ops/attention/

struct Dims { n: u32, u: u32, t: u32, h: u32, v: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> values: array<f32>;          // [B,T,V]
@group(0) @binding(2) var<storage, read> weights: array<f32>;         // [B,U,T]
@group(0) @binding(3) var<storage, read> d_context: array<f32>;       // [B,U,V]
@group(0) @binding(4) var<storage, read_write> d_scores: array<f32>;  // [B,U,T]

fn take_row(query: u32, lane: u32) {
    let row = query / dims.u;
    let first = query * dims.t;
    var dot = 0.0;
    for (var t = lane; t < dims.t; t += 64u) {
        let w = weights[first + t];
        // Where nothing counts there may be anything.
        if w == 0.0 { continue; }
        var sum = 0.0;
        for (var j = 0u; j < dims.v; j++) {
            sum += d_context[query * dims.v + j] * values[(row * dims.t + t) * dims.v + j];
        }
        d_scores[first + t] = sum;
        dot += w * sum;
    }
    dot = workgroup_sum(lane, dot);
    for (var t = lane; t < dims.t; t += 64u) {
        let w = weights[first + t];
        d_scores[first + t] = select(w * (d_scores[first + t] - dot), 0.0, w == 0.0);
    }
}
