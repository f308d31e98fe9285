// gemm_subgroup: C = op(A) op(B) (+ bias) (+ C), sums in registers, rows of A handed from lane to
// lane. For software adapters with subgroups of 8: a load, of one address or of eight, costs them
// as much as six products, handing on next to nothing.
//
// Shapes  common/gemm.wgsl
// Grid    ceil(N/64), ceil(M/16), 1: a workgroup of one subgroup makes a tile of 16 x 64, an
//         invocation 16 rows of 8 columns that are 8 apart; it loads two rows of A
// Parts   common/gemm.wgsl    Twin  src/ops/gemm.rs, twin()
// Needs   subgroups of exactly 8 lanes

// Four columns, 8 apart, of one row.
fn store(row: u32, column: u32, sum: vec4<f32>) {
    if row >= dims.m { return; }
    for (var i = 0u; i < 4u; i++) {
        let here = column + 8u * i;
        if here < dims.n {
            put(row, here, sum[i]);
        }
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    // Rows and columns past the end read the last one; their sums are not stored.
    let row0 = group.y * 16u;
    let m0 = min(row0 + hand, dims.m - 1u);
    let m1 = min(row0 + 8u + hand, dims.m - 1u);
    let column = group.x * 64u + lane;
    let n0 = min(column + 0u * 8u, dims.n - 1u);
    let n1 = min(column + 1u * 8u, dims.n - 1u);
    let n2 = min(column + 2u * 8u, dims.n - 1u);
    let n3 = min(column + 3u * 8u, dims.n - 1u);
    let n4 = min(column + 4u * 8u, dims.n - 1u);
    let n5 = min(column + 5u * 8u, dims.n - 1u);
    let n6 = min(column + 6u * 8u, dims.n - 1u);
    let n7 = min(column + 7u * 8u, dims.n - 1u);
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
    var s8a = vec4(0.0);
    var s8b = vec4(0.0);
    var s9a = vec4(0.0);
    var s9b = vec4(0.0);
    var s10a = vec4(0.0);
    var s10b = vec4(0.0);
    var s11a = vec4(0.0);
    var s11b = vec4(0.0);
    var s12a = vec4(0.0);
    var s12b = vec4(0.0);
    var s13a = vec4(0.0);
    var s13b = vec4(0.0);
    var s14a = vec4(0.0);
    var s14b = vec4(0.0);
    var s15a = vec4(0.0);
    var s15b = vec4(0.0);
    for (var k = 0u; k < dims.k; k++) {
        let ba = vec4(load_b(k, n0), load_b(k, n1), load_b(k, n2), load_b(k, n3));
        let bb = vec4(load_b(k, n4), load_b(k, n5), load_b(k, n6), load_b(k, n7));
        // Row by row, so that only one of them is in a register at a time.
        let low = load_a(m0, k);
        let a0 = subgroupBroadcast(low, 0u);
        s0a += a0 * ba;
        s0b += a0 * bb;
        let a1 = subgroupBroadcast(low, 1u);
        s1a += a1 * ba;
        s1b += a1 * bb;
        let a2 = subgroupBroadcast(low, 2u);
        s2a += a2 * ba;
        s2b += a2 * bb;
        let a3 = subgroupBroadcast(low, 3u);
        s3a += a3 * ba;
        s3b += a3 * bb;
        let a4 = subgroupBroadcast(low, 4u);
        s4a += a4 * ba;
        s4b += a4 * bb;
        let a5 = subgroupBroadcast(low, 5u);
        s5a += a5 * ba;
        s5b += a5 * bb;
        let a6 = subgroupBroadcast(low, 6u);
        s6a += a6 * ba;
        s6b += a6 * bb;
        let a7 = subgroupBroadcast(low, 7u);
        s7a += a7 * ba;
        s7b += a7 * bb;
        let high = load_a(m1, k);
        let a8 = subgroupBroadcast(high, 0u);
        s8a += a8 * ba;
        s8b += a8 * bb;
        let a9 = subgroupBroadcast(high, 1u);
        s9a += a9 * ba;
        s9b += a9 * bb;
        let a10 = subgroupBroadcast(high, 2u);
        s10a += a10 * ba;
        s10b += a10 * bb;
        let a11 = subgroupBroadcast(high, 3u);
        s11a += a11 * ba;
        s11b += a11 * bb;
        let a12 = subgroupBroadcast(high, 4u);
        s12a += a12 * ba;
        s12b += a12 * bb;
        let a13 = subgroupBroadcast(high, 5u);
        s13a += a13 * ba;
        s13b += a13 * bb;
        let a14 = subgroupBroadcast(high, 6u);
        s14a += a14 * ba;
        s14b += a14 * bb;
        let a15 = subgroupBroadcast(high, 7u);
        s15a += a15 * ba;
        s15b += a15 * bb;
    }
    store(row0 + 0u, column, s0a);
    store(row0 + 0u, column + 32u, s0b);
    store(row0 + 1u, column, s1a);
    store(row0 + 1u, column + 32u, s1b);
    store(row0 + 2u, column, s2a);
    store(row0 + 2u, column + 32u, s2b);
    store(row0 + 3u, column, s3a);
    store(row0 + 3u, column + 32u, s3b);
    store(row0 + 4u, column, s4a);
    store(row0 + 4u, column + 32u, s4b);
    store(row0 + 5u, column, s5a);
    store(row0 + 5u, column + 32u, s5b);
    store(row0 + 6u, column, s6a);
    store(row0 + 6u, column + 32u, s6b);
    store(row0 + 7u, column, s7a);
    store(row0 + 7u, column + 32u, s7b);
    store(row0 + 8u, column, s8a);
    store(row0 + 8u, column + 32u, s8b);
    store(row0 + 9u, column, s9a);
    store(row0 + 9u, column + 32u, s9b);
    store(row0 + 10u, column, s10a);
    store(row0 + 10u, column + 32u, s10b);
    store(row0 + 11u, column, s11a);
    store(row0 + 11u, column + 32u, s11b);
    store(row0 + 12u, column, s12a);
    store(row0 + 12u, column + 32u, s12b);
    store(row0 + 13u, column, s13a);
    store(row0 + 13u, column + 32u, s13b);
    store(row0 + 14u, column, s14a);
    store(row0 + 14u, column + 32u, s14b);
    store(row0 + 15u, column, s15a);
    store(row0 + 15u, column + 32u, s15b);
}
