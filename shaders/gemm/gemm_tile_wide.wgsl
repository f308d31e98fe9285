// gemm_tile_wide: as gemm_tile, with half of the loads for each product, and more registers.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/128), ceil(M/128), slices * batch: a workgroup of 16 x 16 makes a tile of 128 x 128, an
//         invocation 8 x 8 of it, in quarters that are 64 apart; K in turns of 8
// Twin    src/ops/gemm/cpu.rs

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
    let slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    a_tile[a_place] = a_rows(row_staged, k_begin + ak);
    b_tile[b_place] = b_columns(k_begin + bk, column_staged);
    workgroupBarrier();
    //@ for i in 0..8
    var s$ia = vec4(0.0);
    var s$ib = vec4(0.0);
    //@ end
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
            //@ for i r in 0 0.x, 1 0.y, 2 0.z, 3 0.w, 4 1.x, 5 1.y, 6 1.z, 7 1.w
            s$ia += a$r * b0;
            s$ib += a$r * b1;
            //@ end
        }
        now = STEPS * WIDE - now;
        a_tile[now + a_place] = next_a;
        b_tile[now + b_place] = next_b;
        workgroupBarrier();
    }
    let row = row0 + id.y * 4u;
    let column = column0 + id.x * 4u;
    //@ for i r in 0 0, 1 1, 2 2, 3 3, 4 64, 5 65, 6 66, 7 67
    store(slice, row + $ru, column, s$ia);
    store(slice, row + $ru, column + 64u, s$ib);
    //@ end
}
