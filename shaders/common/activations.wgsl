// Activations without float traps: a bare tanh is NaN for large arguments on Metal, and an
// overflowing exp has no defined value. A NaN passes through where the driver's own exp and tanh let
// it: SwiftShader's exp and Mesa's tanh in GLSL do not.

fn tanh1(x: f32) -> f32 {
    return select(tanh(x), sign(x), abs(x) > 15.0);
}

fn sigmoid1(x: f32) -> f32 {
    return select(1.0 / (1.0 + exp(-x)), 0.0, x < -87.0);
}

fn sigmoid3(x: vec3<f32>) -> vec3<f32> {
    return select(1.0 / (1.0 + exp(-x)), vec3(0.0), x < vec3(-87.0));
}

// log(1 + exp(x)), of any x.
fn softplus1(x: f32) -> f32 {
    return select(x + log(1.0 + exp(-x)), log(1.0 + exp(x)), x < 0.0);
}
