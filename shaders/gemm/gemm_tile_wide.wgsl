// gemm_tile_wide: as gemm_tile, with half of the loads for each product, and more registers.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/128), ceil(M/128), slices: a workgroup of 16 x 16 makes a tile of 128 x 128, an
//         invocation 8 x 8 of it, in quarters that are 64 apart; K in turns of 8
// Twin    src/ops/gemm.rs, twin()

const STEPS = 8u;  // of K in a turn
const WIDE = 32u;   // vec4s of a tile's row

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.y * 128u;
    let column0 = group.x * 128u;
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
    let k_begin = group.z * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    a_tile[a_place] = a_rows(row_staged, k_begin + ak);
    b_tile[b_place] = b_columns(k_begin + bk, column_staged);
    workgroupBarrier();
    var s0a = vec4(0.0);
    var s0b = vec4(0.0);
    var s1a = vec4(0.0);
    var s1b = vec4(0.0);
    var s2a = vec4(0.0);
    var s2b = vec4(0.0);
    var s3a = vec4(0.0);
    var s3b = vec4(0.0);
    var s4a = vec4(0.0);
    var s4b = vec4(0.0);
    var s5a = vec4(0.0);
    var s5b = vec4(0.0);
    var s6a = vec4(0.0);
    var s6b = vec4(0.0);
    var s7a = vec4(0.0);
    var s7b = vec4(0.0);
    var now = 0u;
    for (var k0 = k_begin; k0 < k_end; k0 += STEPS) {
        let next_a = a_rows(row_staged, k0 + STEPS + ak);
        let next_b = b_columns(k0 + STEPS + bk, column_staged);
        for (var k = 0u; k < STEPS; k++) {
            let at = now + k * WIDE;
            let a0 = a_tile[at + id.y];
            let a1 = a_tile[at + 16u + id.y];
            let b0 = b_tile[at + id.x];
            let b1 = b_tile[at + 16u + id.x];
            s0a += a0.x * b0;
            s0b += a0.x * b1;
            s1a += a0.y * b0;
            s1b += a0.y * b1;
            s2a += a0.z * b0;
            s2b += a0.z * b1;
            s3a += a0.w * b0;
            s3b += a0.w * b1;
            s4a += a1.x * b0;
            s4b += a1.x * b1;
            s5a += a1.y * b0;
            s5b += a1.y * b1;
            s6a += a1.z * b0;
            s6b += a1.z * b1;
            s7a += a1.w * b0;
            s7b += a1.w * b1;
        }
        now = STEPS * WIDE - now;
        a_tile[now + a_place] = next_a;
        b_tile[now + b_place] = next_b;
        workgroupBarrier();
    }
    let row = row0 + id.y * 4u;
    let column = column0 + id.x * 4u;
    store(group.z, row, column, s0a);
    store(group.z, row, column + 64u, s0b);
    store(group.z, row + 1u, column, s1a);
    store(group.z, row + 1u, column + 64u, s1b);
    store(group.z, row + 2u, column, s2a);
    store(group.z, row + 2u, column + 64u, s2b);
    store(group.z, row + 3u, column, s3a);
    store(group.z, row + 3u, column + 64u, s3b);
    store(group.z, row + 64u, column, s4a);
    store(group.z, row + 64u, column + 64u, s4b);
    store(group.z, row + 65u, column, s5a);
    store(group.z, row + 65u, column + 64u, s5b);
    store(group.z, row + 66u, column, s6a);
    store(group.z, row + 66u, column + 64u, s6b);
    store(group.z, row + 67u, column, s7a);
    store(group.z, row + 67u, column + 64u, s7b);
}
