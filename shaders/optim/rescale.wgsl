// rescale: y = x times the loss scale, or, with INVERSE, divided by it.
//
// Shapes  x, y: [N]; state: [4], of which the first is the scale
// Grid    elementwise, n = N
// Twin    src/ops/optim/loss_scale.rs

override INVERSE: bool;

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read> state: array<f32>;    // [4]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) {
    y[i] = x[i] * select(state[0], 1.0 / state[0], INVERSE);
}
