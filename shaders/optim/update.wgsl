// update: one step of an optimizer for all parameters at once; the gradients are then zero.
//
//   d = g + l2 p    p = (1 - decay) p - step(d)
//
// with the step of the RULE; x, y, z are the factors that go with the number of the step (rule.rs), a, b and
// c what is kept for each parameter, by PyTorch's names:
//
//   DESCENT     x d
//   MOMENTUM    a = b1 a + d;  x a                   NESTEROV  x (d + b1 a)
//   ADAM        a = b1 a + (1-b1) d;  b = b2 b + (1-b2) d^2;  x a / (sqrt(b) / y + eps)
//   AMSGRAD     the same, but of c = max(c, b) instead of b
//   ADAMAX      a as Adam's;  b = max(b2 b, |d| + eps);  x a / b
//   NADAM       a, b as Adam's;  (x d + z a) / (sqrt(b) / y + eps)
//   RADAM       a, b as Adam's;  x a / (sqrt(b) + eps), or x a while y is 0
//   RMSPROP     a = b2 a + (1-b2) d^2;  u = d / (sqrt(a) + eps);  x u
//    _CENTERED  b = b2 b + (1-b2) d, and a - b^2 instead of a in u
//    _MOMENTUM  the last of them, b or c: b1 of itself + u;  x times it
//   ADAGRAD     a = a + d^2;  x d / (sqrt(a) + eps)
//   ADADELTA    a = b2 a + (1-b2) d^2;  u = sqrt(b + eps) / sqrt(a + eps) d;  b = b2 b + (1-b2) u^2;  x u
//   LION        x sign(b1 a + (1-b1) d);  a = b2 a + (1-b2) d
//
// If SCALED, g is first divided by the loss scale; steps that have a gradient that is not finite do
// nothing, and the factors, which go with the number of the others, are on the device.
//
// If GROUPS, each block of BLOCK parameters has a factor of its rate and one of its decay; a rate of 0
// leaves everything as it is.
//
// Shapes  p, g, a, b, c: [N], or g of the rows drawn alone; scaling: [4] of step_factors;
//         groups: [2 blocks], or [2] of a table
// Grid    elementwise, n = N
// Twin    src/ops/optim/update.rs
// Source  as named in src/train/optim/, one a file; all in PyTorch's form

override SCALED: bool;
override GROUPS: bool;
override BLOCK: u32;

struct Dims {
    n: u32, x: f32, y: f32, z: f32, beta1: f32, beta2: f32, epsilon: f32, decay: f32, l2: f32,
    skip: u32, size: u32, base: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> p: array<f32>;  // [N]
@group(0) @binding(2) var<storage, read_write> g: array<f32>;  // [N]
@group(0) @binding(3) var<storage, read_write> a: array<f32>;  // [N]
@group(0) @binding(4) var<storage, read_write> b: array<f32>;  // [N]
@group(0) @binding(5) var<storage, read_write> c: array<f32>;  // [N]
@group(0) @binding(6) var<storage, read> scaling: array<f32>;  // [4] of step_factors
@group(0) @binding(7) var<storage, read> groups: array<f32>;   // [2 blocks]: rate, decay
@group(0) @binding(8) var<storage, read> rows: array<u32>;     // optim/parts/drawn.wgsl

// A mean that forgets: `beta` of it stays.
fn mean(old: f32, beta: f32, now: f32) -> f32 {
    return beta * old + (1.0 - beta) * now;
}

// A mean of squares. In this order: a square that is too large is so on every device.
fn mean_square(old: f32, now: f32) -> f32 {
    return dims.beta2 * old + (1.0 - dims.beta2) * now * now;
}

fn descent(at: u32, d: f32, f: vec3<f32>) -> f32 {
    if RULE == DESCENT { return f.x * d; }
    let v = dims.beta1 * a[at] + d;
    a[at] = v;
    return f.x * select(v, d + dims.beta1 * v, RULE == NESTEROV);
}

fn adam(at: u32, d: f32, f: vec3<f32>) -> f32 {
    let m = mean(a[at], dims.beta1, d);
    a[at] = m;
    if RULE == ADAMAX {
        let u = larger(dims.beta2 * b[at], abs(d) + dims.epsilon);
        b[at] = u;
        return f.x * m / u;
    }
    var v = mean_square(b[at], d);
    b[at] = v;
    if RULE == AMSGRAD {
        v = larger(c[at], v);
        c[at] = v;
    }
    if RULE == NADAM { return (f.x * d + f.z * m) / (sqrt(v) / f.y + dims.epsilon); }
    if RULE == RADAM {
        if f.y == 0.0 { return f.x * m; }
        return f.x * m / (sqrt(v) + dims.epsilon);
    }
    return f.x * m / (sqrt(v) / f.y + dims.epsilon);
}

fn rmsprop(at: u32, d: f32, f: vec3<f32>) -> f32 {
    var v = mean_square(a[at], d);
    a[at] = v;
    if RULE == RMSPROP_CENTERED || RULE == RMSPROP_CENTERED_MOMENTUM {
        let m = mean(b[at], dims.beta2, d);
        b[at] = m;
        v -= m * m;
        // Rounding may take a variance of 0 below it.
        v = select(v, 0.0, v < 0.0 && !is_nan(v));
    }
    let u = d / (sqrt(v) + dims.epsilon);
    if RULE == RMSPROP_MOMENTUM {
        let moved = dims.beta1 * b[at] + u;
        b[at] = moved;
        return f.x * moved;
    }
    if RULE == RMSPROP_CENTERED_MOMENTUM {
        let moved = dims.beta1 * c[at] + u;
        c[at] = moved;
        return f.x * moved;
    }
    return f.x * u;
}

fn adagrad(at: u32, d: f32, f: vec3<f32>) -> f32 {
    let sum = a[at] + d * d;
    a[at] = sum;
    return f.x * d / (sqrt(sum) + dims.epsilon);
}

fn adadelta(at: u32, d: f32, f: vec3<f32>) -> f32 {
    let v = mean_square(a[at], d);
    a[at] = v;
    let u = sqrt(b[at] + dims.epsilon) / sqrt(v + dims.epsilon) * d;
    b[at] = mean_square(b[at], u);
    return f.x * u;
}

fn lion(at: u32, d: f32, f: vec3<f32>) -> f32 {
    let way = mean(a[at], dims.beta1, d);
    a[at] = mean(a[at], dims.beta2, d);
    // The sign of a NaN is one.
    let side = select(0.0, 1.0, way > 0.0) - select(0.0, 1.0, way < 0.0);
    return f.x * select(side, way, is_nan(way));
}

fn step_of(at: u32, d: f32, f: vec3<f32>) -> f32 {
    if RULE <= NESTEROV { return descent(at, d, f); }
    if RULE <= RADAM { return adam(at, d, f); }
    if RULE <= RMSPROP_CENTERED_MOMENTUM { return rmsprop(at, d, f); }
    if RULE == ADAGRAD { return adagrad(at, d, f); }
    if RULE == ADADELTA { return adadelta(at, d, f); }
    return lion(at, d, f);
}

fn element(number: u32) {
    let i = dims.skip + number;
    let at = place_of(i);
    var inverse = 1.0;
    var factors = vec3(dims.x, dims.y, dims.z);
    if SCALED {
        inverse = scaling[0];
        factors = vec3(scaling[1], scaling[2], scaling[3]);
    }
    var rate = 1.0;
    var decay = 1.0;
    if GROUPS {
        var block = 0u;
        if !ROWS { block = (dims.base + i) / BLOCK; }
        rate = groups[2u * block];
        decay = groups[2u * block + 1u];
    }
    if inverse == 0.0 || rate == 0.0 {
        g[i] = 0.0;
        return;
    }
    let old = p[at];
    var d = g[i] * inverse;
    let l2 = dims.l2 * decay;
    // 0 times an infinity would be a NaN.
    if l2 != 0.0 { d += l2 * old; }
    let moved = rate * step_of(at, d, factors);
    p[at] = old * (1.0 - dims.decay * (rate * decay)) - moved;
    g[i] = 0.0;
}
