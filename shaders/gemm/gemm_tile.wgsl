// gemm_tile: C = op(A) op(B) (+ bias) (+ C), tiles staged in shared memory. For hardware GPUs.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/64), ceil(M/64), slices * batch: a workgroup of 16 x 16 makes a tile of 64 x 64, an
//         invocation 4 x 4 of it; K in turns of 16
// Twin    src/ops/gemm/cpu.rs

const STEPS = 16u;  // of K in a turn
const WIDE = 16u;   // vec4s of a tile's row

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.y * 64u;
    let column0 = group.x * 64u;
    // Each invocation stages one vec4 of either tile, neighbours along the storage.
    var ak = lane / WIDE;
    var ar = lane % WIDE;
    if !TRANS_A { ak = lane % STEPS; ar = lane / STEPS; }
    var bk = lane / WIDE;
    var bc = lane % WIDE;
    if TRANS_B { bk = lane % STEPS; bc = lane / STEPS; }
    let a_place = ak * WIDE + ar;
    let b_place = bk * WIDE + bc;
    let row_staged = row0 + ar * 4u;
    let column_staged = column0 + bc * 4u;
    let slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    a_tile[a_place] = a_rows(row_staged, k_begin + ak);
    b_tile[b_place] = b_columns(k_begin + bk, column_staged);
    workgroupBarrier();
    var s0 = vec4(0.0);
    var s1 = vec4(0.0);
    var s2 = vec4(0.0);
    var s3 = vec4(0.0);
    var now = 0u;
    for (var k0 = k_begin; k0 < k_end; k0 += STEPS) {
        let next_a = a_rows(row_staged, k0 + STEPS + ak);
        let next_b = b_columns(k0 + STEPS + bk, column_staged);
        for (var k = 0u; k < STEPS; k++) {
            let at = now + k * WIDE;
            let a0 = a_tile[at + id.y];
            let b0 = b_tile[at + id.x];
            s0 += a0.x * b0;
            s1 += a0.y * b0;
            s2 += a0.z * b0;
            s3 += a0.w * b0;
        }
        now = STEPS * WIDE - now;
        a_tile[now + a_place] = next_a;
        b_tile[now + b_place] = next_b;
        workgroupBarrier();
    }
    let row = row0 + id.y * 4u;
    let column = column0 + id.x * 4u;
    store(slice, row, column, s0);
    store(slice, row + 1u, column, s1);
    store(slice, row + 2u, column, s2);
    store(slice, row + 3u, column, s3);
}
