// mix_bwd: d_a = t d_y, d_b = (1 - t) d_y and d_t = (a - b) d_y, of y = b + t (a - b).
//
// Shapes  a, b, t, d_y, d_a, d_b, d_t: [n]
// Grid    elementwise, n
// Twin    src/ops/elementwise/mix.rs

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<f32>;          // [n]
@group(0) @binding(2) var<storage, read> b: array<f32>;          // [n]
@group(0) @binding(3) var<storage, read> t: array<f32>;          // [n]
@group(0) @binding(4) var<storage, read> d_y: array<f32>;        // [n]
@group(0) @binding(5) var<storage, read_write> d_a: array<f32>;  // [n]
@group(0) @binding(6) var<storage, read_write> d_b: array<f32>;  // [n]
@group(0) @binding(7) var<storage, read_write> d_t: array<f32>;  // [n]

fn element(i: u32) {
    d_a[i] = t[i] * d_y[i];
    d_b[i] = (1.0 - t[i]) * d_y[i];
    d_t[i] = (a[i] - b[i]) * d_y[i];
}
