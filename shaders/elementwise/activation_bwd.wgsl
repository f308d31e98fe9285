// activation_bwd: d_x = d_y * act'(x). KIND is that of activation; `saved` is y up to KIND 2, and x from
// there on.
//
// Shapes  saved, d_y, d_x: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/activation.rs

override KIND: u32;

struct Dims { n: u32, alpha: f32, beta: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> saved: array<f32>;      // [N]
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // [N]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [N]

fn element(i: u32) {
    let v = saved[i];
    let d = d_y[i];
    if KIND == 0u {
        d_x[i] = d * v * (1.0 - v);
    } else if KIND == 2u {
        d_x[i] = select(d, 0.0, v <= 0.0);
    } else {
        d_x[i] = d * slope(v);
    }
}

fn slope(v: f32) -> f32 {
    if KIND == 1u { return 1.0 - v * v; }
    if KIND == 3u { return select(dims.beta, dims.alpha * exp1(v), v <= 0.0); }
    if KIND == 4u {
        let x = clamp(v, -40.0, 40.0);
        // The density's 1 / sqrt(2 pi).
        return normal1(v) + x * 0.3989423 * exp(-0.5 * x * x);
    }
    if KIND == 5u {
        // Past 10 it is 0 or 1.
        let x = clamp(v, -10.0, 10.0);
        let t = tanh1(gelu_inside(x));
        return 0.5 * (1.0 + t + (1.0 - t * t) * x * 0.7978846 * (1.0 + 3.0 * 0.044715 * x * x));
    }
    if KIND == 6u {
        let s = sigmoid1(v);
        return s + s * (v * (1.0 - s));
    }
    if KIND == 7u { return sigmoid1(v); }
    if KIND == 8u {
        let part = 1.0 / (1.0 + abs(v));
        return part * part;
    }
    if KIND == 9u {
        let y = dims.alpha * v + dims.beta;
        return select(0.0, dims.alpha, y > 0.0 && y < 1.0);
    }
    if KIND == 10u { return select(1.0, dims.alpha, v <= 0.0); }
    if KIND == 11u { return exp1(v); }
    if KIND == 12u { return select(0.0, 1.0, v > 0.0 && v < 6.0); }
    if KIND == 13u {
        let low = select(v / 3.0 + 0.5, 0.0, v <= -3.0);
        return select(1.0, low, v < 3.0);
    }
    if KIND == 14u {
        let t = tanh1(softplus1(v));
        return t + v * ((1.0 - t * t) * sigmoid1(v));
    }
    return select(1.0, 0.0, v <= dims.alpha);
}
