// attention: weights = softmax over the steps of the scores, context = sum_t weights_t values_t.
//
// Shapes  q: [B,U,H], k: [B,T,H], values: [B,T,V], score: [H] of KIND 1;
//         weights: [B,U,T], context: [B,U,V]. A step that does not count has the weight 0; where
//         none counts the context is 0.
// Grid    rowwise, n = B*U: a query
// Twin    src/ops/attention/

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> q: array<f32>;              // [B,U,H]
@group(0) @binding(2) var<storage, read> k: array<f32>;              // [B,T,H]
@group(0) @binding(3) var<storage, read> values: array<f32>;         // [B,T,V]
@group(0) @binding(4) var<storage, read> score: array<f32>;          // [H], of KIND 1
@group(0) @binding(5) var<storage, read> steps: array<u32>;          // common/steps.wgsl
@group(0) @binding(6) var<storage, read_write> weights: array<f32>;  // [B,U,T]
@group(0) @binding(7) var<storage, read_write> context: array<f32>;  // [B,U,V]

fn take_row(query: u32, lane: u32) {
    let row = query / dims.u;
    let first = query * dims.t;
    var largest = -3.4e38;
    for (var t = lane; t < dims.t; t += 64u) {
        if counts(row, t, dims.t) {
            var sum = 0.0;
            for (var h = 0u; h < dims.h; h++) {
                var v = 0.0;
                if KIND == 1u { v = score[h]; }
                sum += part(q[query * dims.h + h], k[(row * dims.t + t) * dims.h + h], v);
            }
            weights[first + t] = sum;
            largest = select(select(largest, sum, sum > largest), sum, is_nan(sum));
        }
    }
    largest = workgroup_max(lane, largest);
    var sum = 0.0;
    for (var t = lane; t < dims.t; t += 64u) {
        if counts(row, t, dims.t) {
            let e = exp1(weights[first + t] - largest);
            weights[first + t] = e;
            sum += e;
        } else {
            weights[first + t] = 0.0;
        }
    }
    sum = workgroup_sum(lane, sum);
    for (var t = lane; t < dims.t; t += 64u) {
        if counts(row, t, dims.t) { weights[first + t] /= sum; }
    }
    storageBarrier();
    for (var j = lane; j < dims.v; j += 64u) {
        var value = 0.0;
        for (var t = 0u; t < dims.t; t++) {
            if counts(row, t, dims.t) {
                value += weights[first + t] * values[(row * dims.t + t) * dims.v + j];
            }
        }
        context[query * dims.v + j] = value;
    }
}
