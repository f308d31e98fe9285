// What both passes of the cross-entropy against probabilities share. Without WEIGHTS w = 1, without CLASSES
// k = 1.

override WEIGHTS: bool;
override CLASSES: bool;

struct Dims { n: u32, c: u32, lanes: u32, scale: f32, smoothing: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [N,C]
@group(0) @binding(2) var<storage, read> y: array<f32>;              // [N,C]
@group(0) @binding(3) var<storage, read> weights: array<f32>;        // [N]
@group(0) @binding(4) var<storage, read> class_weights: array<f32>;  // [C]

// target[j], of a row that begins at `begin`.
fn target_of(begin: u32, j: u32) -> f32 {
    let share = (1.0 - dims.smoothing) * y[begin + j] + dims.smoothing / f32(dims.c);
    if CLASSES { return class_weights[j] * share; }
    return share;
}
