// mix: y = b + t (a - b), element by element.
//
// Shapes  a, b, t, y: [n]
// Grid    elementwise, n
// Twin    src/ops/elementwise/mix.rs

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // [n]
@group(0) @binding(2) var<storage, read> b: array<f32>;        // [n]
@group(0) @binding(3) var<storage, read> t: array<f32>;        // [n]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [n]

fn element(i: u32) { y[i] = b[i] + t[i] * (a[i] - b[i]); }
