// two_sided_loss_bwd: d_x = d_loss * scale * w * l'(x, y), elementwise: see two_sided_loss.
//
//   KIND 0, binary cross-entropy of a logit:  l' = a (1 - y) sigmoid(x) - b y sigmoid(-x)
//   KIND 1, pinball:                          l' = a where x is above y, -b where it is below
//
// Shapes  x, d_x: [N,C]; y: [N,C/each]; sides: [C,2]; weights: [N]; d_loss: [1]. Without WEIGHTS w = 1.
// Grid    elementwise, n = N*C
// Twin    src/ops/loss/two_sided_loss.rs

struct Dims { n: u32, c: u32, each: u32, scale: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(5) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(6) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn element(i: u32) {
    let side = sides[i % dims.c];
    let x_i = x[i];
    let y_i = y[i / dims.each];
    let difference = x_i - y_i;
    var d = 0.0;
    if KIND == 0u {
        d = side.x * (1.0 - y_i) * sigmoid1(x_i) - side.y * y_i * sigmoid1(-x_i);
    } else {
        d = select(select(difference, side.x, difference > 0.0), -side.y, difference < 0.0);
    }
    // A NaN stays; what compares with it, a compiler may take for true or false.
    let unknown = is_nan(x_i) || is_nan(y_i) || (KIND != 0u && is_nan(difference));
    if unknown { d = x_i + y_i + difference; }
    d *= d_loss[0] * dims.scale;
    if WEIGHTS {
        let w = weights[i / dims.c];
        d = select(w * d, 0.0, w == 0.0);
    }
    d_x[i] = d;
}
