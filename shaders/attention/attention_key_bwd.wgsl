// attention_key_bwd: the gradients of the keys and of the values.
//
// Shapes  as in attention; d_scores: [B,U,T]; d_context: [B,U,V]; d_k: [B,T,H]; d_values: [B,T,V]
// Grid    rowwise, n = B*T: a step of a row
// Twin    src/ops/attention/

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<f32>;               // [B,U,H]
@group(0) @binding(2) var<storage, read> k: array<f32>;               // [B,T,H]
@group(0) @binding(3) var<storage, read> score: array<f32>;           // [H], of KIND 1
@group(0) @binding(4) var<storage, read> weights: array<f32>;         // [B,U,T]
@group(0) @binding(5) var<storage, read> d_scores: array<f32>;        // [B,U,T]
@group(0) @binding(6) var<storage, read> d_context: array<f32>;       // [B,U,V]
@group(0) @binding(7) var<storage, read_write> d_k: array<f32>;       // [B,T,H]
@group(0) @binding(8) var<storage, read_write> d_values: array<f32>;  // [B,T,V]

fn take_row(frame: u32, lane: u32) {
    let row = frame / dims.t;
    let t = frame % dims.t;
    for (var h = lane; h < dims.h; h += 64u) {
        let mine = k[frame * dims.h + h];
        var v = 0.0;
        if KIND == 1u { v = score[h]; }
        var d = 0.0;
        for (var u = 0u; u < dims.u; u++) {
            let query = row * dims.u + u;
            let d_s = d_scores[query * dims.t + t];
            // Not "unlike 0", which naga makes false of a NaN.
            if d_s == 0.0 { continue; }
            d += d_s * slope(mine, q[query * dims.h + h], v);
        }
        d_k[frame * dims.h + h] = d;
    }
    for (var j = lane; j < dims.v; j += 64u) {
        var d = 0.0;
        for (var u = 0u; u < dims.u; u++) {
            let query = row * dims.u + u;
            let w = weights[query * dims.t + t];
            if w == 0.0 { continue; }
            d += w * d_context[query * dims.v + j];
        }
        d_values[frame * dims.v + j] = d;
    }
}
