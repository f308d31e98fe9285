// activation: y = act(x), elementwise.
//
//   KIND 0 sigmoid   1 tanh         2 relu         3 elu, selu    4 gelu       5 gelu by tanh
//        6 silu      7 softplus     8 softsign     9 hard sigmoid 10 leaky relu
//        11 exp      12 relu to 6   13 hard silu   14 mish        15 thresholded relu
//
// Shapes  x, y: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/activation.rs

override KIND: u32;

struct Dims { n: u32, alpha: f32, beta: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) {
    // A NaN stays: SwiftShader's exp and Mesa's tanh make numbers of it.
    y[i] = keep_nan(x[i], activate(x[i]));
}

fn activate(x: f32) -> f32 {
    if KIND == 0u { return sigmoid1(x); }
    if KIND == 1u { return tanh1(x); }
    if KIND == 2u { return select(x, 0.0, x < 0.0); }
    if KIND == 3u { return select(dims.beta * x, dims.alpha * exp_m1(x), x < 0.0); }
    if KIND == 4u { return x * normal1(x); }
    if KIND == 5u { return 0.5 * x * (1.0 + tanh1(gelu_inside(x))); }
    if KIND == 6u { return x * sigmoid1(x); }
    if KIND == 7u { return softplus1(x); }
    if KIND == 8u { return x / (1.0 + abs(x)); }
    if KIND == 9u { return clamp(dims.alpha * x + dims.beta, 0.0, 1.0); }
    if KIND == 10u { return select(x, dims.alpha * x, x < 0.0); }
    if KIND == 11u { return exp1(x); }
    if KIND == 12u { return clamp(x, 0.0, 6.0); }
    if KIND == 13u { return x * clamp(x / 6.0 + 0.5, 0.0, 1.0); }
    if KIND == 14u { return x * tanh1(softplus1(x)); }
    return select(x, 0.0, x <= dims.alpha);
}
