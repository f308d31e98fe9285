// attention_query_bwd: from the gradient of the scores that of the queries and, of KIND 1, what
// each query adds to that of `score`.
//
// Shapes  as in attention; d_scores: [B,U,T]; d_q, d_score: [B,U,H]
// Grid    rowwise, n = B*U: a query
// Twin    src/ops/attention/

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<f32>;              // [B,U,H]
@group(0) @binding(2) var<storage, read> k: array<f32>;              // [B,T,H]
@group(0) @binding(3) var<storage, read> score: array<f32>;          // [H], of KIND 1
@group(0) @binding(4) var<storage, read> d_scores: array<f32>;       // [B,U,T]
@group(0) @binding(5) var<storage, read_write> d_q: array<f32>;      // [B,U,H]
@group(0) @binding(6) var<storage, read_write> d_score: array<f32>;  // [B,U,H], of KIND 1

fn take_row(query: u32, lane: u32) {
    let row = query / dims.u;
    for (var h = lane; h < dims.h; h += 64u) {
        let mine = q[query * dims.h + h];
        var v = 0.0;
        if KIND == 1u { v = score[h]; }
        var d = 0.0;
        var d_v = 0.0;
        for (var t = 0u; t < dims.t; t++) {
            let d_s = d_scores[query * dims.t + t];
            // Not "unlike 0", which naga makes false of a NaN.
            if d_s == 0.0 { continue; }
            let other = k[(row * dims.t + t) * dims.h + h];
            d += d_s * slope(mine, other, v);
            if KIND == 1u { d_v += d_s * tanh1(mine + other); }
        }
        d_q[query * dims.h + h] = d;
        if KIND == 1u { d_score[query * dims.h + h] = d_v; }
    }
}
