// magnitude: y = sqrt(re^2 + im^2), for rows of real parts and then imaginary ones.
//
// Shapes  x: [N,2,F], y: [N,F]
// Grid    elementwise, n = N*F
// Twin    src/ops/conv/magnitude.rs

struct Dims { n: u32, f: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N,2,F]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N,F]

fn element(i: u32) {
    let at = i / dims.f * 2u * dims.f + i % dims.f;
    let re = x[at];
    let im = x[at + dims.f];
    y[i] = keep_nan(re, keep_nan(im, sqrt(re * re + im * im)));
}
