// gemm_subgroup: C = op(A) op(B) (+ bias) (+ C), sums in registers, rows of A handed from lane to
// lane. For software adapters with subgroups of 8: a load, of one address or of eight, costs them
// as much as six products, handing on next to nothing.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/64), ceil(M/32), 1: a workgroup of one subgroup makes a tile of 32 x 64, an
//         invocation 32 rows of 8 columns that are 8 apart; it loads four rows of A
// Twin    src/ops/gemm.rs, twin()
// Needs   subgroups of exactly 8 lanes

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    // Rows and columns past the end read the last one; their sums are not stored.
    let row0 = group.y * 32u;
    let m0 = min(row0 + hand, dims.m - 1u);
    let m1 = min(row0 + 8u + hand, dims.m - 1u);
    let m2 = min(row0 + 16u + hand, dims.m - 1u);
    let m3 = min(row0 + 24u + hand, dims.m - 1u);
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
    var s16a = vec4(0.0);
    var s16b = vec4(0.0);
    var s17a = vec4(0.0);
    var s17b = vec4(0.0);
    var s18a = vec4(0.0);
    var s18b = vec4(0.0);
    var s19a = vec4(0.0);
    var s19b = vec4(0.0);
    var s20a = vec4(0.0);
    var s20b = vec4(0.0);
    var s21a = vec4(0.0);
    var s21b = vec4(0.0);
    var s22a = vec4(0.0);
    var s22b = vec4(0.0);
    var s23a = vec4(0.0);
    var s23b = vec4(0.0);
    var s24a = vec4(0.0);
    var s24b = vec4(0.0);
    var s25a = vec4(0.0);
    var s25b = vec4(0.0);
    var s26a = vec4(0.0);
    var s26b = vec4(0.0);
    var s27a = vec4(0.0);
    var s27b = vec4(0.0);
    var s28a = vec4(0.0);
    var s28b = vec4(0.0);
    var s29a = vec4(0.0);
    var s29b = vec4(0.0);
    var s30a = vec4(0.0);
    var s30b = vec4(0.0);
    var s31a = vec4(0.0);
    var s31b = vec4(0.0);
    // Two terms in a turn of the loop, which otherwise puts each sum back after each. Behind an odd last
    // one comes a zero times a zero. All loads of a turn come first: each is a chain of eight, and
    // those next to each other are on their way together.
    for (var k = 0u; k < dims.k; k += 2u) {
        let more = k + 1u < dims.k;
        let k1 = select(k, k + 1u, more);
        let b0a = vec4(load_b(k, n0), load_b(k, n1), load_b(k, n2), load_b(k, n3));
        let b0b = vec4(load_b(k, n4), load_b(k, n5), load_b(k, n6), load_b(k, n7));
        let next_a = vec4(load_b(k1, n0), load_b(k1, n1), load_b(k1, n2), load_b(k1, n3));
        let next_b = vec4(load_b(k1, n4), load_b(k1, n5), load_b(k1, n6), load_b(k1, n7));
        let b1a = select(vec4(0.0), next_a, more);
        let b1b = select(vec4(0.0), next_b, more);
        let a0 = vec4(load_a(m0, k), load_a(m1, k), load_a(m2, k), load_a(m3, k));
        let next = vec4(load_a(m0, k1), load_a(m1, k1), load_a(m2, k1), load_a(m3, k1));
        let a1 = select(vec4(0.0), next, more);
        // Row by row, so that only one of them is in a register at a time.
        let x0 = subgroupBroadcast(a0.x, 0u);
        let y0 = subgroupBroadcast(a1.x, 0u);
        s0a = s0a + x0 * b0a + y0 * b1a;
        s0b = s0b + x0 * b0b + y0 * b1b;
        let x1 = subgroupBroadcast(a0.x, 1u);
        let y1 = subgroupBroadcast(a1.x, 1u);
        s1a = s1a + x1 * b0a + y1 * b1a;
        s1b = s1b + x1 * b0b + y1 * b1b;
        let x2 = subgroupBroadcast(a0.x, 2u);
        let y2 = subgroupBroadcast(a1.x, 2u);
        s2a = s2a + x2 * b0a + y2 * b1a;
        s2b = s2b + x2 * b0b + y2 * b1b;
        let x3 = subgroupBroadcast(a0.x, 3u);
        let y3 = subgroupBroadcast(a1.x, 3u);
        s3a = s3a + x3 * b0a + y3 * b1a;
        s3b = s3b + x3 * b0b + y3 * b1b;
        let x4 = subgroupBroadcast(a0.x, 4u);
        let y4 = subgroupBroadcast(a1.x, 4u);
        s4a = s4a + x4 * b0a + y4 * b1a;
        s4b = s4b + x4 * b0b + y4 * b1b;
        let x5 = subgroupBroadcast(a0.x, 5u);
        let y5 = subgroupBroadcast(a1.x, 5u);
        s5a = s5a + x5 * b0a + y5 * b1a;
        s5b = s5b + x5 * b0b + y5 * b1b;
        let x6 = subgroupBroadcast(a0.x, 6u);
        let y6 = subgroupBroadcast(a1.x, 6u);
        s6a = s6a + x6 * b0a + y6 * b1a;
        s6b = s6b + x6 * b0b + y6 * b1b;
        let x7 = subgroupBroadcast(a0.x, 7u);
        let y7 = subgroupBroadcast(a1.x, 7u);
        s7a = s7a + x7 * b0a + y7 * b1a;
        s7b = s7b + x7 * b0b + y7 * b1b;
        let x8 = subgroupBroadcast(a0.y, 0u);
        let y8 = subgroupBroadcast(a1.y, 0u);
        s8a = s8a + x8 * b0a + y8 * b1a;
        s8b = s8b + x8 * b0b + y8 * b1b;
        let x9 = subgroupBroadcast(a0.y, 1u);
        let y9 = subgroupBroadcast(a1.y, 1u);
        s9a = s9a + x9 * b0a + y9 * b1a;
        s9b = s9b + x9 * b0b + y9 * b1b;
        let x10 = subgroupBroadcast(a0.y, 2u);
        let y10 = subgroupBroadcast(a1.y, 2u);
        s10a = s10a + x10 * b0a + y10 * b1a;
        s10b = s10b + x10 * b0b + y10 * b1b;
        let x11 = subgroupBroadcast(a0.y, 3u);
        let y11 = subgroupBroadcast(a1.y, 3u);
        s11a = s11a + x11 * b0a + y11 * b1a;
        s11b = s11b + x11 * b0b + y11 * b1b;
        let x12 = subgroupBroadcast(a0.y, 4u);
        let y12 = subgroupBroadcast(a1.y, 4u);
        s12a = s12a + x12 * b0a + y12 * b1a;
        s12b = s12b + x12 * b0b + y12 * b1b;
        let x13 = subgroupBroadcast(a0.y, 5u);
        let y13 = subgroupBroadcast(a1.y, 5u);
        s13a = s13a + x13 * b0a + y13 * b1a;
        s13b = s13b + x13 * b0b + y13 * b1b;
        let x14 = subgroupBroadcast(a0.y, 6u);
        let y14 = subgroupBroadcast(a1.y, 6u);
        s14a = s14a + x14 * b0a + y14 * b1a;
        s14b = s14b + x14 * b0b + y14 * b1b;
        let x15 = subgroupBroadcast(a0.y, 7u);
        let y15 = subgroupBroadcast(a1.y, 7u);
        s15a = s15a + x15 * b0a + y15 * b1a;
        s15b = s15b + x15 * b0b + y15 * b1b;
        let x16 = subgroupBroadcast(a0.z, 0u);
        let y16 = subgroupBroadcast(a1.z, 0u);
        s16a = s16a + x16 * b0a + y16 * b1a;
        s16b = s16b + x16 * b0b + y16 * b1b;
        let x17 = subgroupBroadcast(a0.z, 1u);
        let y17 = subgroupBroadcast(a1.z, 1u);
        s17a = s17a + x17 * b0a + y17 * b1a;
        s17b = s17b + x17 * b0b + y17 * b1b;
        let x18 = subgroupBroadcast(a0.z, 2u);
        let y18 = subgroupBroadcast(a1.z, 2u);
        s18a = s18a + x18 * b0a + y18 * b1a;
        s18b = s18b + x18 * b0b + y18 * b1b;
        let x19 = subgroupBroadcast(a0.z, 3u);
        let y19 = subgroupBroadcast(a1.z, 3u);
        s19a = s19a + x19 * b0a + y19 * b1a;
        s19b = s19b + x19 * b0b + y19 * b1b;
        let x20 = subgroupBroadcast(a0.z, 4u);
        let y20 = subgroupBroadcast(a1.z, 4u);
        s20a = s20a + x20 * b0a + y20 * b1a;
        s20b = s20b + x20 * b0b + y20 * b1b;
        let x21 = subgroupBroadcast(a0.z, 5u);
        let y21 = subgroupBroadcast(a1.z, 5u);
        s21a = s21a + x21 * b0a + y21 * b1a;
        s21b = s21b + x21 * b0b + y21 * b1b;
        let x22 = subgroupBroadcast(a0.z, 6u);
        let y22 = subgroupBroadcast(a1.z, 6u);
        s22a = s22a + x22 * b0a + y22 * b1a;
        s22b = s22b + x22 * b0b + y22 * b1b;
        let x23 = subgroupBroadcast(a0.z, 7u);
        let y23 = subgroupBroadcast(a1.z, 7u);
        s23a = s23a + x23 * b0a + y23 * b1a;
        s23b = s23b + x23 * b0b + y23 * b1b;
        let x24 = subgroupBroadcast(a0.w, 0u);
        let y24 = subgroupBroadcast(a1.w, 0u);
        s24a = s24a + x24 * b0a + y24 * b1a;
        s24b = s24b + x24 * b0b + y24 * b1b;
        let x25 = subgroupBroadcast(a0.w, 1u);
        let y25 = subgroupBroadcast(a1.w, 1u);
        s25a = s25a + x25 * b0a + y25 * b1a;
        s25b = s25b + x25 * b0b + y25 * b1b;
        let x26 = subgroupBroadcast(a0.w, 2u);
        let y26 = subgroupBroadcast(a1.w, 2u);
        s26a = s26a + x26 * b0a + y26 * b1a;
        s26b = s26b + x26 * b0b + y26 * b1b;
        let x27 = subgroupBroadcast(a0.w, 3u);
        let y27 = subgroupBroadcast(a1.w, 3u);
        s27a = s27a + x27 * b0a + y27 * b1a;
        s27b = s27b + x27 * b0b + y27 * b1b;
        let x28 = subgroupBroadcast(a0.w, 4u);
        let y28 = subgroupBroadcast(a1.w, 4u);
        s28a = s28a + x28 * b0a + y28 * b1a;
        s28b = s28b + x28 * b0b + y28 * b1b;
        let x29 = subgroupBroadcast(a0.w, 5u);
        let y29 = subgroupBroadcast(a1.w, 5u);
        s29a = s29a + x29 * b0a + y29 * b1a;
        s29b = s29b + x29 * b0b + y29 * b1b;
        let x30 = subgroupBroadcast(a0.w, 6u);
        let y30 = subgroupBroadcast(a1.w, 6u);
        s30a = s30a + x30 * b0a + y30 * b1a;
        s30b = s30b + x30 * b0b + y30 * b1b;
        let x31 = subgroupBroadcast(a0.w, 7u);
        let y31 = subgroupBroadcast(a1.w, 7u);
        s31a = s31a + x31 * b0a + y31 * b1a;
        s31b = s31b + x31 * b0b + y31 * b1b;
    }
    var sums = array(
        s0a, s0b, s1a, s1b, s2a, s2b, s3a, s3b,
        s4a, s4b, s5a, s5b, s6a, s6b, s7a, s7b,
        s8a, s8b, s9a, s9b, s10a, s10b, s11a, s11b,
        s12a, s12b, s13a, s13b, s14a, s14b, s15a, s15b,
        s16a, s16b, s17a, s17b, s18a, s18b, s19a, s19b,
        s20a, s20b, s21a, s21b, s22a, s22b, s23a, s23b,
        s24a, s24b, s25a, s25b, s26a, s26b, s27a, s27b,
        s28a, s28b, s29a, s29b, s30a, s30b, s31a, s31b,
    );
    // A number of turns that no compiler knows: 256 copies of a store take it seconds.
    for (var i = 0u; i < 32u * min(dims.m, 1u); i++) {
        let row = row0 + i;
        if row < dims.m {
            for (var j = 0u; j < 4u; j++) {
                let here = column + 8u * j;
                if here < dims.n { put(row, here, sums[2u * i][j]); }
                if here + 32u < dims.n { put(row, here + 32u, sums[2u * i + 1u][j]); }
            }
        }
    }
}
