// magnitude_bwd: d_x = d_y x / y, and 0 where y is.
//
// Shapes  x, d_x: [N,2,F], y, d_y: [N,F]
// Grid    elementwise, n = 2*N*F
// Twin    src/ops/conv/magnitude.rs

struct Dims { n: u32, f: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N,2,F]
@group(0) @binding(2) var<storage, read> y: array<f32>;          // [N,F]
@group(0) @binding(3) var<storage, read> d_y: array<f32>;        // [N,F]
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;  // [N,2,F]

fn element(i: u32) {
    let at = i / (2u * dims.f) * dims.f + i % dims.f;
    d_x[i] = 0.0;
    if y[at] != 0.0 { d_x[i] = d_y[at] * (x[i] / y[at]); }
}
