// step_factors: what an optimizer's step multiplies by, where the number of the step is on the device, since
// a loss scale leaves some out.
//
//   factors = inverse, x, y, z: the inverse of the loss scale, 0 if there is to be no step, and what
//   `Rule::factors` says of the step that count numbers; for NADAM, count[1] is the product of all
//   momentums, which a step goes on
//
// Shapes  state: [4] of loss_scale_update; count: [2]; factors: [4]
// Grid    1, 1, 1
// Twin    src/ops/optim/step_factors.rs

struct Dims {
    rate: f32, beta1: f32, log_beta1: f32, log_beta2: f32,
    slowing: f32,  // Adagrad's of the rate; of Nadam's momentum the logarithm of what a step leaves
    longest: f32, gap: f32,  // RAdam's: the most that `length` comes to, and see there
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> state: array<f32>;          // [4]
@group(0) @binding(2) var<storage, read_write> count: array<f32>;    // [2]: t, product
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;  // [4]

// 1 - exp(x) for x <= 0, near 0 without cancellation.
fn one_minus_exp(x: f32) -> f32 {
    if x < -0.5 { return 1.0 - exp(x); }
    var sum = 1.0;
    for (var n = 9.0; n > 1.0; n -= 1.0) { sum = 1.0 + sum * x / n; }
    return -x * sum;
}

// RAdam's length of the mean of squares, longest - 2 t b2^t / (1 - b2^t). Its terms are large and nearly
// cancel in the first steps: then gap + t - t (coth(y/2) - 2/y), y = -t log(b2), by a series.
fn length(t: f32) -> f32 {
    let y = -t * dims.log_beta2;
    if y > 1.0 { return dims.longest - 2.0 * t * exp(-y) / (1.0 - exp(-y)); }
    let s = y * y;
    let h = y * (1.0 / 6.0 - s * (1.0 / 360.0 - s * (1.0 / 15120.0 - s * (1.0 / 604800.0))));
    return dims.gap + t - t * h;
}

fn nadam_momentum(t: f32) -> f32 {
    return dims.beta1 * (1.0 - 0.5 * exp(t * dims.slowing));
}

@compute @workgroup_size(1)
fn main() {
    let t = count[0];
    let inverse = state[1];
    factors[0] = inverse;
    if inverse == 0.0 { return; }
    var x = dims.rate;
    var y = 1.0;
    var z = 0.0;
    if RULE == ADAM || RULE == AMSGRAD || RULE == ADAMAX || RULE == RADAM {
        x /= one_minus_exp(t * dims.log_beta1);
    }
    if RULE == ADAM || RULE == AMSGRAD || RULE == NADAM {
        y = sqrt(one_minus_exp(t * dims.log_beta2));
    }
    if RULE == NADAM {
        let now = nadam_momentum(t);
        let next = nadam_momentum(t + 1.0);
        let product = count[1] * now;
        count[1] = product;
        x = dims.rate * (1.0 - now) / (1.0 - product);
        z = dims.rate * next / (1.0 - product * next);
    }
    if RULE == RADAM {
        let l = length(t);
        y = 0.0;
        if l > 5.0 {
            let most = dims.longest;
            y = 1.0;
            x *= sqrt((l - 4.0) / (most - 4.0) * ((l - 2.0) / (most - 2.0)) * (most / l));
            x *= sqrt(one_minus_exp(t * dims.log_beta2));
        }
    }
    if RULE == ADAGRAD { x /= 1.0 + (t - 1.0) * dims.slowing; }
    factors[1] = x;
    factors[2] = y;
    factors[3] = z;
}
