// gemm_tile: C = op(A) op(B) (+ bias) (+ C), tiles staged in shared memory. For hardware GPUs.
//
// Shapes  common/gemm.wgsl
// Grid    ceil(N/64), ceil(M/64), 1: a workgroup of 16 x 16 makes a tile of 64 x 64, an
//         invocation 4 x 4 of it; K in steps of 16
// Parts   common/gemm.wgsl    Twin  src/ops/gemm.rs, twin()

var<workgroup> a_tile: array<vec4<f32>, 256>;  // [16 k][16] of 4 rows
var<workgroup> b_tile: array<vec4<f32>, 256>;  // [16 k][16] of 4 columns

fn a_inside(row: u32, k: u32) -> f32 {
    if row >= dims.m || k >= dims.k { return 0.0; }
    return load_a(row, k);
}

fn b_inside(k: u32, column: u32) -> f32 {
    if column >= dims.n || k >= dims.k { return 0.0; }
    return load_b(k, column);
}

fn store(row: u32, column: u32, sum: vec4<f32>) {
    if row >= dims.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if column + j < dims.n {
            put(row, column + j, sum[j]);
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
            a_inside(r, k0 + ak), a_inside(r + 1u, k0 + ak),
            a_inside(r + 2u, k0 + ak), a_inside(r + 3u, k0 + ak),
        );
        var bk = lane / 16u;
        var bc = lane % 16u;
        if TRANS_B { bk = lane % 16u; bc = lane / 16u; }
        let q = column0 + bc * 4u;
        b_tile[bk * 16u + bc] = vec4(
            b_inside(k0 + bk, q), b_inside(k0 + bk, q + 1u),
            b_inside(k0 + bk, q + 2u), b_inside(k0 + bk, q + 3u),
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
