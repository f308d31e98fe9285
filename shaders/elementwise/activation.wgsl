// activation: y = act(x), elementwise. KIND 0: sigmoid, 1: tanh, 2: relu.
//
// Shapes  x, y: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/activation.rs

override KIND: u32;

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) {
    if is_nan(x[i]) {
        // It stays: SwiftShader's exp and Mesa's tanh make numbers of it.
        y[i] = x[i];
    } else if KIND == 0u {
        y[i] = sigmoid1(x[i]);
    } else if KIND == 1u {
        y[i] = tanh1(x[i]);
    } else {
        y[i] = select(x[i], 0.0, x[i] < 0.0);
    }
}
