// swap_axes: y[b,a] = x[a,b], for rows of C words.
//
// Shapes  x: [A,B,C], y: [B,A,C]
// Grid    elementwise, n = A*B*C
// Twin    src/ops/frames/swap_axes.rs

struct Dims { n: u32, a: u32, b: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [A,B,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [B,A,C]

fn element(i: u32) {
    let row = i / dims.c;
    y[i] = x[(row % dims.a * dims.b + row / dims.a) * dims.c + i % dims.c];
}
