// What gradients are multiplied by before an optimizer uses them: 0 if there is to be no step.
override SCALED: bool;

fn inverse_scale() -> f32 {
    if SCALED { return scaling[1]; }
    return 1.0;
}
