// add_into: y += x, a gradient into the place where it is summed.
//
// Shapes  x, y: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/add_into.rs

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) { y[i] += x[i]; }
