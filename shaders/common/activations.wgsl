// Activations without float traps: a bare tanh is NaN for large arguments on Metal, an overflowing
// exp has no defined value, and some drivers make a number of a NaN (SwiftShader's exp, Mesa's tanh in
// GLSL; WGSL lets them): here it stays one. Behind common/is_nan.wgsl.

fn tanh1(x: f32) -> f32 {
    return keep_nan(x, select(tanh(x), sign(x), abs(x) > 15.0));
}

fn sigmoid1(x: f32) -> f32 {
    return keep_nan(x, select(1.0 / (1.0 + exp(-x)), 0.0, x < -87.0));
}

fn sigmoid3(x: vec3<f32>) -> vec3<f32> {
    let y = select(1.0 / (1.0 + exp(-x)), vec3(0.0), x < vec3(-87.0));
    return select(y, x, (bitcast<vec3<u32>>(x) & vec3(0x7fffffffu)) > vec3(0x7f800000u));
}

// log(1 + exp(x)), of any x.
fn softplus1(x: f32) -> f32 {
    return keep_nan(x, select(x + log(1.0 + exp(-x)), log(1.0 + exp(x)), x < 0.0));
}

// exp(x) - 1 of a negative x.
fn exp_m1(x: f32) -> f32 {
    let near = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666668 + x * 0.008333334))));
    return select(exp1(x) - 1.0, near, x > -0.1);
}

// The standard normal distribution up to x, by Eigen's rational function for erf.
fn normal1(x: f32) -> f32 {
    let v = clamp(x * 0.70710677, -4.0, 4.0);
    let z = v * v;
    var p = -2.7261423e-10;
    p = p * z + 2.7706814e-8;
    p = p * z - 2.101024e-6;
    p = p * z - 5.6925065e-5;
    p = p * z - 7.349906e-4;
    p = p * z - 2.9545998e-3;
    p = p * z - 1.6096033e-2;
    var q = -1.4566072e-5;
    q = q * z - 2.1337405e-4;
    q = q * z - 1.682827e-3;
    q = q * z - 7.373329e-3;
    q = q * z - 1.426474e-2;
    return 0.5 + 0.5 * clamp(v * p / q, -1.0, 1.0);
}

// What the tanh of the approximate gelu is taken of: sqrt(2/pi) (x + 0.044715 x^3).
fn gelu_inside(x: f32) -> f32 { return x * 0.7978846 * (1.0 + 0.044715 * x * x); }
