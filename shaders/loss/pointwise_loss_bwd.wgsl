// pointwise_loss_bwd: d_x = d_loss * scale * w * l'(x, y), elementwise.
//
//   KIND 0, binary cross-entropy of a logit:  l' = sigmoid(x) - y
//   KIND 1, squared error:                    l' = 2 (x - y)
//   KIND 2, absolute error:                   l' = sign(x - y)
//   KIND 3, Huber's, with p = delta:          l' = x - y, within -p and p
//   KIND 4, pinball, with p = quantile:       l' = -p, or 1 - p above y
//
// Shapes  x, y, d_x: [N,C]; weights: [N]; d_loss: [1]. Without WEIGHTS w = 1.
// Grid    elementwise, n = N*C
// Twin    src/ops/loss/pointwise_loss.rs

override KIND: u32;
override WEIGHTS: bool;

struct Dims { n: u32, c: u32, scale: f32, p: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N,C]
@group(0) @binding(2) var<storage, read> y: array<f32>;          // [N,C]
@group(0) @binding(3) var<storage, read> weights: array<f32>;    // [N]
@group(0) @binding(4) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn element(i: u32) {
    let difference = x[i] - y[i];
    var d = difference;
    switch KIND {
        case 0u: { d = sigmoid1(x[i]) - y[i]; }
        case 1u: { d *= 2.0; }
        case 2u: { d = select(d, sign(d), abs(d) > 0.0); }
        case 3u: { d = select(d, dims.p * sign(d), abs(d) > dims.p); }
        default: { d = select(select(d, 1.0 - dims.p, d > 0.0), -dims.p, d < 0.0); }
    }
    // A NaN stays; what compares with it, a compiler may take for true or false.
    let unknown = is_nan(x[i]) || is_nan(y[i]) || (KIND != 0u && is_nan(difference));
    if unknown { d = x[i] + y[i] + difference; }
    d *= d_loss[0] * dims.scale;
    if WEIGHTS {
        let w = weights[i / dims.c];
        d = select(w * d, 0.0, w == 0.0);
    }
    d_x[i] = d;
}
