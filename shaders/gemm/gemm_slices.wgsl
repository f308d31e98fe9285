// gemm_slices: C = the sum of slices (+ bias) (+ C), in their order: what products leave that are cut
// along K, and sums of columns that are cut along the rows.
//
// Shapes  parts: [slices,M,N], side by side; bias: [N]; C: [M,N], its rows ldc apart
// Grid    elementwise, n = M*N
// Twin    src/ops/gemm/cpu.rs

override BIAS: bool;
override ACCUMULATE: bool;

struct Dims { n: u32, slices: u32, columns: u32, ldc: u32, c_offset: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> parts: array<f32>;    // [slices,M,N]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [N]
@group(0) @binding(3) var<storage, read_write> c: array<f32>;  // [M,N]

fn element(i: u32) {
    var sum = 0.0;
    // Sixteen of them at a time, so that none is added to a sum that is much larger.
    for (var first = 0u; first < dims.slices; first += 16u) {
        var part = 0.0;
        let end = min(dims.slices, first + 16u);
        for (var slice = first; slice < end; slice++) { part += parts[slice * dims.n + i]; }
        sum += part;
    }
    let column = i % dims.columns;
    if BIAS { sum += bias[column]; }
    let at = dims.c_offset + i / dims.columns * dims.ldc + column;
    if ACCUMULATE { sum += c[at]; }
    c[at] = sum;
}
