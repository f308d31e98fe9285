// sgd: one step of gradient descent for all parameters at once; the gradients are then zero.
//
//   v = momentum * v + g    p -= lr * (NESTEROV ? g + momentum * v : v)
//
// If SCALED, g is first divided by the loss scale; a step that has a gradient that is not finite
// does nothing.
//
// Shapes  p, g, v: [N], or g of the rows drawn alone; scaling: [4] of loss_scale_update
// Grid    elementwise, n = N
// Twin    src/ops/optim/sgd.rs
// Source  Sutskever et al. 2013, in PyTorch's form

override NESTEROV: bool;

struct Dims { n: u32, rate: f32, momentum: f32, skip: u32, size: u32, base: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;  // [N]
@group(0) @binding(2) var<storage, read_write> g: array<f32>;  // [N]
@group(0) @binding(3) var<storage, read_write> v: array<f32>;  // [N]
@group(0) @binding(4) var<storage, read> scaling: array<f32>;  // [4] of loss_scale_update
@group(0) @binding(5) var<storage, read> rows: array<u32>;     // optim/parts/drawn.wgsl

fn element(number: u32) {
    let i = dims.skip + number;
    let at = place_of(i);
    let inverse = inverse_scale();
    if inverse == 0.0 {
        g[i] = 0.0;
        return;
    }
    let d = g[i] * inverse;
    let v_new = dims.momentum * v[at] + d;
    p[at] -= dims.rate * select(v_new, d + dims.momentum * v_new, NESTEROV);
    v[at] = v_new;
    g[i] = 0.0;
}
