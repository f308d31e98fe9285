// activation_bwd: d_x = d_y * act'(x), from y = act(x). KIND 0: sigmoid, 1: tanh, 2: relu.
//
// Shapes  y, d_y, d_x: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/activation.rs

override KIND: u32;

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> y: array<f32>;          // [N]
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // [N]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [N]

fn element(i: u32) {
    if KIND == 0u {
        d_x[i] = d_y[i] * y[i] * (1.0 - y[i]);
    } else if KIND == 1u {
        d_x[i] = d_y[i] * (1.0 - y[i] * y[i]);
    } else {
        d_x[i] = select(d_y[i], 0.0, y[i] <= 0.0);
    }
}
