// reduce_sum: y[0] (+)= scale * sum x, in a fixed order.
//
// Shapes  x: [N]; y: [1]
// Grid    1: one workgroup of 64 (N is a batch's rows)
// Parts   common/row_reduce.wgsl    Twin  src/ops/reduce_sum.rs

override ACCUMULATE: bool;

struct Dims { n: u32, scale: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [1]

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < dims.n; i += 64u) { sum += x[i]; }
    sum = workgroup_sum(lane, sum);
    if lane == 0u {
        var value = dims.scale * sum;
        if ACCUMULATE { value += y[0]; }
        y[0] = value;
    }
}
