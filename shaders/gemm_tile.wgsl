// gemm_tile: C = op(A) op(B) (+ bias) (+ C), tiles staged in shared memory. For hardware GPUs.
//
// Shapes  op(A): [M,K], stored [M,K] or, if TRANS_A, [K,M]; op(B): [K,N], stored [K,N] or, if
//         TRANS_B, [N,K]; bias: [N]; C: [M,N]. Rows are lda, ldb, ldc words apart.
// Grid    ceil(N/64), ceil(M/64), 1: a workgroup of 16 x 16 makes a tile of 64 x 64, an
//         invocation 4 x 4 of it; K in steps of 16
// Twin    src/ops/gemm.rs, cpu()

override TRANS_A: bool;
override TRANS_B: bool;
override BIAS: bool;
override ACCUMULATE: bool;

struct Dims {
    m: u32, n: u32, k: u32,
    lda: u32, ldb: u32, ldc: u32,
    a_offset: u32, b_offset: u32, c_offset: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // op(A) [M,K]
@group(0) @binding(2) var<storage, read> b: array<f32>;        // op(B) [K,N]
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [N]
@group(0) @binding(4) var<storage, read_write> c: array<f32>;  // [M,N]

var<workgroup> a_tile: array<vec4<f32>, 256>;  // [16 k][16] of 4 rows
var<workgroup> b_tile: array<vec4<f32>, 256>;  // [16 k][16] of 4 columns

fn load_a(row: u32, k: u32) -> f32 {
    if row >= dims.m || k >= dims.k { return 0.0; }
    if TRANS_A { return a[dims.a_offset + k * dims.lda + row]; }
    return a[dims.a_offset + row * dims.lda + k];
}

fn load_b(k: u32, column: u32) -> f32 {
    if column >= dims.n || k >= dims.k { return 0.0; }
    if TRANS_B { return b[dims.b_offset + column * dims.ldb + k]; }
    return b[dims.b_offset + k * dims.ldb + column];
}

fn store(row: u32, column: u32, sum: vec4<f32>) {
    if row >= dims.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if column + j < dims.n {
            var value = sum[j];
            if BIAS { value += bias[column + j]; }
            let at = dims.c_offset + row * dims.ldc + column + j;
            if ACCUMULATE { value += c[at]; }
            c[at] = value;
        }
    }
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.y * 64u;
    let column0 = group.x * 64u;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var k0 = 0u; k0 < dims.k; k0 += 16u) {
        // Each invocation stages one vec4 of either tile, neighbours along the storage.
        var ak = lane / 16u;
        var ar = lane % 16u;
        if !TRANS_A { ak = lane % 16u; ar = lane / 16u; }
        let r = row0 + ar * 4u;
        a_tile[ak * 16u + ar] = vec4(
            load_a(r, k0 + ak), load_a(r + 1u, k0 + ak),
            load_a(r + 2u, k0 + ak), load_a(r + 3u, k0 + ak),
        );
        var bk = lane / 16u;
        var bc = lane % 16u;
        if TRANS_B { bk = lane % 16u; bc = lane / 16u; }
        let q = column0 + bc * 4u;
        b_tile[bk * 16u + bc] = vec4(
            load_b(k0 + bk, q), load_b(k0 + bk, q + 1u),
            load_b(k0 + bk, q + 2u), load_b(k0 + bk, q + 3u),
        );
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let av = a_tile[k * 16u + id.y];
            let bv = b_tile[k * 16u + id.x];
            sum0 += av.x * bv;
            sum1 += av.y * bv;
            sum2 += av.z * bv;
            sum3 += av.w * bv;
        }
        workgroupBarrier();
    }
    let row = row0 + id.y * 4u;
    let column = column0 + id.x * 4u;
    store(row, column, sum0);
    store(row + 1u, column, sum1);
    store(row + 2u, column, sum2);
    store(row + 3u, column, sum3);
}
