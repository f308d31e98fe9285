// regularizer_bwd: d_x (+)= d_loss * (l1 sign(x) + 2 l2 x).
//
// Shapes  x, d_x: [N]; d_loss: [1]
// Grid    elementwise, n = N
// Twin    src/ops/optim/regularizer.rs

override ACCUMULATE: bool;

struct Dims { n: u32, l1: f32, l2: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N]
@group(0) @binding(2) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [N]

fn element(i: u32) {
    let d = d_loss[0] * (dims.l1 * sign(x[i]) + 2.0 * dims.l2 * x[i]);
    if ACCUMULATE { d_x[i] += d; } else { d_x[i] = d; }
}
