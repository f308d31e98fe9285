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
