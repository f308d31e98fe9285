// A limit for gradients as they are before an optimizer's step: multiplied by the loss scale, if SCALED.
override SCALED: bool;

fn scaled(limit: f32) -> f32 {
    if SCALED { return limit * scaling[0]; }
    return limit;
}
