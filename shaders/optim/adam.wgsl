// adam: one step of Adam for all parameters at once; the gradients are then zero.
//
//   p *= 1 - decay    m = b1 m + (1-b1) g    v = b2 v + (1-b2) g^2
//   p -= rate * m / (sqrt(v) / root + epsilon);  rate = lr/(1-b1^t), root = sqrt(1-b2^t)
//
// If SCALED, g is first divided by the loss scale; steps that have a gradient that is not finite do
// nothing, and t, which counts the others, is on the device: then dims.rate is lr.
//
// Shapes  p, g, m, v: [N], or g of the rows drawn alone; scaling: [4] of loss_scale_update; count: [1]
// Grid    elementwise, n = N
// Twin    src/ops/optim/adam.rs
// Source  Kingma & Ba 2015, arXiv 1412.6980; decoupled decay: Loshchilov & Hutter 2019

struct Dims {
    n: u32, rate: f32, root: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32,
    log_beta1: f32, log_beta2: f32, skip: u32, size: u32, base: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;  // [N]
@group(0) @binding(2) var<storage, read_write> g: array<f32>;  // [N]
@group(0) @binding(3) var<storage, read_write> m: array<f32>;  // [N]
@group(0) @binding(4) var<storage, read_write> v: array<f32>;  // [N]
@group(0) @binding(5) var<storage, read> scaling: array<f32>;  // [4] of loss_scale_update
@group(0) @binding(6) var<storage, read> count: array<f32>;    // [1]: t
@group(0) @binding(7) var<storage, read> rows: array<u32>;     // optim/parts/drawn.wgsl

// 1 - exp(x) for x <= 0, near 0 without cancellation.
fn one_minus_exp(x: f32) -> f32 {
    if x < -0.5 { return 1.0 - exp(x); }
    var sum = 1.0;
    for (var n = 9.0; n > 1.0; n -= 1.0) { sum = 1.0 + sum * x / n; }
    return -x * sum;
}

fn element(number: u32) {
    let i = dims.skip + number;
    let at = place_of(i);
    let inverse = inverse_scale();
    if inverse == 0.0 {
        g[i] = 0.0;
        return;
    }
    let d = g[i] * inverse;
    var rate = dims.rate;
    var root = dims.root;
    if SCALED {
        rate /= one_minus_exp(count[0] * dims.log_beta1);
        root = sqrt(one_minus_exp(count[0] * dims.log_beta2));
    }
    let m_new = dims.beta1 * m[at] + (1.0 - dims.beta1) * d;
    let v_new = dims.beta2 * v[at] + (1.0 - dims.beta2) * d * d;
    p[at] = p[at] * (1.0 - dims.decay) - rate * m_new / (sqrt(v_new) / root + dims.epsilon);
    m[at] = m_new;
    v[at] = v_new;
    g[i] = 0.0;
}
