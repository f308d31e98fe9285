// clip_value: limits each element of a gradient to -limit .. limit.
//
// A NaN stays; so does an infinity if SCALED, since the step is then left out.
//
// Shapes  scaling: [4] of loss_scale_update; g: [N]
// Grid    elementwise, n = N
// Twin    src/ops/optim/clip.rs

struct Dims { n: u32, limit: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> scaling: array<f32>;  // [4]
@group(0) @binding(2) var<storage, read_write> g: array<f32>;  // [N]

fn element(i: u32) {
    let v = g[i];
    let limit = scaled(dims.limit);
    if is_nan(v) || (SCALED && !is_finite(v)) { return; }
    if abs(v) > limit { g[i] = select(-limit, limit, v > 0.0); }
}
