// multiply: y = a b, element by element.
//
// Shapes  a, b, y: [N]
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/multiply.rs

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read> b: array<f32>;        // [N]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) { y[i] = a[i] * b[i]; }
