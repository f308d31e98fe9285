// gemm_subgroup: C = op(A) op(B) (+ bias) (+ C), sums in registers, rows of A handed from lane to
// lane. For software adapters with subgroups of 8: a load, of one address or of eight, costs them
// as much as six products, handing on next to nothing.
//
// Shapes  common/gemm.wgsl
// Grid    ceil(N/64), ceil(M/16), 1: a workgroup of one subgroup makes a tile of 16 x 64, an
//         invocation 16 rows of 8 columns that are 8 apart; it loads two rows of A
// Parts   common/gemm.wgsl, common/gemm_elements.wgsl    Twin  src/ops/gemm.rs, twin()
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
    // Two terms in a turn of the loop, which otherwise puts each sum back after each. Behind an odd last
    // one comes a zero times a zero.
    for (var k = 0u; k < dims.k; k += 2u) {
        let more = k + 1u < dims.k;
        let k1 = select(k, k + 1u, more);
        let b0a = vec4(load_b(k, n0), load_b(k, n1), load_b(k, n2), load_b(k, n3));
        let b0b = vec4(load_b(k, n4), load_b(k, n5), load_b(k, n6), load_b(k, n7));
        let next_a = vec4(load_b(k1, n0), load_b(k1, n1), load_b(k1, n2), load_b(k1, n3));
        let next_b = vec4(load_b(k1, n4), load_b(k1, n5), load_b(k1, n6), load_b(k1, n7));
        let b1a = select(vec4(0.0), next_a, more);
        let b1b = select(vec4(0.0), next_b, more);
        // Row by row, so that only one of them is in a register at a time.
        let low0 = load_a(m0, k);
        let low1 = select(0.0, load_a(m0, k1), more);
        let x0 = subgroupBroadcast(low0, 0u);
        let y0 = subgroupBroadcast(low1, 0u);
        s0a = s0a + x0 * b0a + y0 * b1a;
        s0b = s0b + x0 * b0b + y0 * b1b;
        let x1 = subgroupBroadcast(low0, 1u);
        let y1 = subgroupBroadcast(low1, 1u);
        s1a = s1a + x1 * b0a + y1 * b1a;
        s1b = s1b + x1 * b0b + y1 * b1b;
        let x2 = subgroupBroadcast(low0, 2u);
        let y2 = subgroupBroadcast(low1, 2u);
        s2a = s2a + x2 * b0a + y2 * b1a;
        s2b = s2b + x2 * b0b + y2 * b1b;
        let x3 = subgroupBroadcast(low0, 3u);
        let y3 = subgroupBroadcast(low1, 3u);
        s3a = s3a + x3 * b0a + y3 * b1a;
        s3b = s3b + x3 * b0b + y3 * b1b;
        let x4 = subgroupBroadcast(low0, 4u);
        let y4 = subgroupBroadcast(low1, 4u);
        s4a = s4a + x4 * b0a + y4 * b1a;
        s4b = s4b + x4 * b0b + y4 * b1b;
        let x5 = subgroupBroadcast(low0, 5u);
        let y5 = subgroupBroadcast(low1, 5u);
        s5a = s5a + x5 * b0a + y5 * b1a;
        s5b = s5b + x5 * b0b + y5 * b1b;
        let x6 = subgroupBroadcast(low0, 6u);
        let y6 = subgroupBroadcast(low1, 6u);
        s6a = s6a + x6 * b0a + y6 * b1a;
        s6b = s6b + x6 * b0b + y6 * b1b;
        let x7 = subgroupBroadcast(low0, 7u);
        let y7 = subgroupBroadcast(low1, 7u);
        s7a = s7a + x7 * b0a + y7 * b1a;
        s7b = s7b + x7 * b0b + y7 * b1b;
        let high0 = load_a(m1, k);
        let high1 = select(0.0, load_a(m1, k1), more);
        let x8 = subgroupBroadcast(high0, 0u);
        let y8 = subgroupBroadcast(high1, 0u);
        s8a = s8a + x8 * b0a + y8 * b1a;
        s8b = s8b + x8 * b0b + y8 * b1b;
        let x9 = subgroupBroadcast(high0, 1u);
        let y9 = subgroupBroadcast(high1, 1u);
        s9a = s9a + x9 * b0a + y9 * b1a;
        s9b = s9b + x9 * b0b + y9 * b1b;
        let x10 = subgroupBroadcast(high0, 2u);
        let y10 = subgroupBroadcast(high1, 2u);
        s10a = s10a + x10 * b0a + y10 * b1a;
        s10b = s10b + x10 * b0b + y10 * b1b;
        let x11 = subgroupBroadcast(high0, 3u);
        let y11 = subgroupBroadcast(high1, 3u);
        s11a = s11a + x11 * b0a + y11 * b1a;
        s11b = s11b + x11 * b0b + y11 * b1b;
        let x12 = subgroupBroadcast(high0, 4u);
        let y12 = subgroupBroadcast(high1, 4u);
        s12a = s12a + x12 * b0a + y12 * b1a;
        s12b = s12b + x12 * b0b + y12 * b1b;
        let x13 = subgroupBroadcast(high0, 5u);
        let y13 = subgroupBroadcast(high1, 5u);
        s13a = s13a + x13 * b0a + y13 * b1a;
        s13b = s13b + x13 * b0b + y13 * b1b;
        let x14 = subgroupBroadcast(high0, 6u);
        let y14 = subgroupBroadcast(high1, 6u);
        s14a = s14a + x14 * b0a + y14 * b1a;
        s14b = s14b + x14 * b0b + y14 * b1b;
        let x15 = subgroupBroadcast(high0, 7u);
        let y15 = subgroupBroadcast(high1, 7u);
        s15a = s15a + x15 * b0a + y15 * b1a;
        s15b = s15b + x15 * b0b + y15 * b1b;
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
