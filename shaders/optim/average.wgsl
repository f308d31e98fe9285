// average: moves a mean by a share of the way to new values: mean += share (x - mean).
//
// Shapes  x, mean: [N]
// Grid    elementwise, n = N
// Twin    src/ops/optim/average.rs

struct Dims { n: u32, share: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [N]
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;  // [N]

fn element(i: u32) { mean[i] += dims.share * (x[i] - mean[i]); }
