// What every kernel of the matrix product shares: C = op(A) op(B) (+ bias) (+ C).
//
// Shapes  op(A): [M,K], stored [M,K] or, if TRANS_A, [K,M]; op(B): [K,N], stored [K,N] or, if
//         TRANS_B, [N,K]; bias: [N]; C: [M,N]. Rows are lda, ldb, ldc elements apart.
// Slices  Where the grid has more than one along z, each sums up its slice of K, and C has as many
//         matrices, c_slice elements apart, which gemm_slices adds up
// Batch   The slices of one product, then those of the next: its A, B and C begin a_batch, b_batch and
//         c_batch elements further on
// Types   ElemA, ElemB, ElemC: f32 or f16 in memory, or for A and B vec4s of them, named by the host;
//         sums are f32

override TRANS_A: bool;
override TRANS_B: bool;
override BIAS: bool;
override ACCUMULATE: bool;

struct Dims {
    m: u32, n: u32, k: u32,
    lda: u32, ldb: u32, ldc: u32,
    a_offset: u32, b_offset: u32, c_offset: u32,
    k_slice: u32, c_slice: u32, slices: u32,
    a_batch: u32, b_batch: u32, c_batch: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<ElemA>;        // op(A) [M,K]
@group(0) @binding(2) var<storage, read> b: array<ElemB>;        // op(B) [K,N]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [N]
@group(0) @binding(4) var<storage, read_write> c: array<ElemC>;  // [M,N]

// Where this workgroup's matrices begin.
var<private> a_begin: u32;
var<private> b_begin: u32;
var<private> c_begin: u32;

// What a workgroup does first, by its place along z. Returns its slice.
fn begin(z: u32) -> u32 {
    let product = z / dims.slices;
    a_begin = dims.a_offset + product * dims.a_batch;
    b_begin = dims.b_offset + product * dims.b_batch;
    c_begin = dims.c_offset + product * dims.c_batch;
    return z % dims.slices;
}

// One element of C, from its sum.
fn put(row: u32, column: u32, sum: f32) {
    put_slice(0u, row, column, sum);
}

fn put_slice(slice: u32, row: u32, column: u32, sum: f32) {
    var value = sum;
    if BIAS { value += bias[column]; }
    let at = c_begin + slice * dims.c_slice + row * dims.ldc + column;
    if ACCUMULATE { value += f32(c[at]); }
    c[at] = ElemC(value);
}
