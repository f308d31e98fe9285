// transpose_gates: R [K,U] of 4 -> R^T [U,K] of 4, for the backward pass.
//
// Shapes  x: [K,U], y: [U,K], of 4: Gates of lstm/parts/f32.wgsl or f16.wgsl
// Grid    elementwise, n = K*U
// Twin    src/ops/lstm/cpu/ packs R anew instead

struct Dims { n: u32, rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<Gates>;        // [K,U]
@group(0) @binding(2) var<storage, read_write> y: array<Gates>;  // [U,K]

fn element(i: u32) {
    let row = i / dims.columns;
    let column = i % dims.columns;
    y[column * dims.rows + row] = x[i];
}
