// merge: y = a + b, (a + b) / 2 or a * b, of the halves a and b of each row.
//
// Shapes  x: [rows,2C], y: [rows,C]
// Grid    elementwise, n = rows*C
// Twin    src/ops/elementwise/merge.rs

override KIND: u32;  // 0 sum, 1 mean, 2 product

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [rows,2C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows,C]

fn element(i: u32) {
    let a = x[i / dims.c * 2u * dims.c + i % dims.c];
    let b = x[i / dims.c * 2u * dims.c + dims.c + i % dims.c];
    if KIND == 0u { y[i] = a + b; }
    if KIND == 1u { y[i] = 0.5 * (a + b); }
    if KIND == 2u { y[i] = a * b; }
}
