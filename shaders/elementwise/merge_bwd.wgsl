// merge_bwd: d_x of y = a + b, (a + b) / 2 or a * b, of the halves a and b of each row.
//
// Shapes  x, d_x: [rows,2C], d_y: [rows,C]
// Grid    elementwise, n = 2*rows*C
// Twin    src/ops/elementwise/merge.rs

override KIND: u32;  // 0 sum, 1 mean, 2 product

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [rows,2C]
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // [rows,C]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [rows,2C]

fn element(i: u32) {
    let row = i / (2u * dims.c);
    let column = i % (2u * dims.c);
    let d = d_y[row * dims.c + column % dims.c];
    let other = (column + dims.c) % (2u * dims.c);
    if KIND == 0u { d_x[i] = d; }
    if KIND == 1u { d_x[i] = 0.5 * d; }
    if KIND == 2u { d_x[i] = d * x[row * 2u * dims.c + other]; }
}
