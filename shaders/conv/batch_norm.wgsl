// batch_norm: features by means and variances that are known.
//
//   KIND 0, y = (x - mean) / sqrt(variance + epsilon) * gain + bias
//   KIND 1, y = x / sqrt(variance + epsilon) * gain, the gradient of x from that of y
//   KIND 2, y = other (x - mean) / sqrt(variance + epsilon), of which the gradient of the gain is the sum
//
// Shapes  x, other, y: [N,C]; mean, variance, gain, bias: [C]
// Grid    elementwise, n = N*C
// Twin    src/ops/conv/batch_norm.rs
// Source  Ioffe & Szegedy 2015

override KIND: u32;

struct Dims { n: u32, c: u32, epsilon: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N,C]
@group(0) @binding(2) var<storage, read> other: array<f32>;     // [N,C], if KIND 2
@group(0) @binding(3) var<storage, read> mean: array<f32>;      // [C]
@group(0) @binding(4) var<storage, read> variance: array<f32>;  // [C]
@group(0) @binding(5) var<storage, read> gain: array<f32>;      // [C]
@group(0) @binding(6) var<storage, read> bias: array<f32>;      // [C]
@group(0) @binding(7) var<storage, read_write> y: array<f32>;   // [N,C]

fn element(i: u32) {
    let c = i % dims.c;
    let scale = 1.0 / sqrt(variance[c] + dims.epsilon);
    if KIND == 0u { y[i] = (x[i] - mean[c]) * scale * gain[c] + bias[c]; }
    if KIND == 1u { y[i] = x[i] * scale * gain[c]; }
    if KIND == 2u { y[i] = other[i] * ((x[i] - mean[c]) * scale); }
}
