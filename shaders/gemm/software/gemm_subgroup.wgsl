// gemm_subgroup: C = op(A) op(B) (+ bias) (+ C), sums in registers, rows of A handed from lane to
// lane. For software adapters with subgroups of 8: a load, of one address or of eight, costs them
// as much as six products, handing on next to nothing.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/64), ceil(M/32), batch: a workgroup of one subgroup makes a tile of 32 x 64, an
//         invocation 32 rows of 8 columns that are 8 apart; it loads four rows of A
// Twin    src/ops/gemm/cpu.rs
// Needs   subgroups of exactly 8 lanes

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    begin(group.z);
    // Rows and columns past the end read the last one; their sums are not stored.
    let row0 = group.y * 32u;
    //@ for i in 0..4
    let m$i = min(row0 + $iu * 8u + hand, dims.m - 1u);
    //@ end
    let column = group.x * 64u + lane;
    //@ for i in 0..8
    let n$i = min(column + $iu * 8u, dims.n - 1u);
    //@ end
    // Of the row that lane l has in component c of what it loads.
    //@ for c in x, y, z, w; l in 0..8
    var s$c$la = vec4(0.0);
    var s$c$lb = vec4(0.0);
    //@ end
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
        //@ for c in x, y, z, w; l in 0..8
        let x$c$l = subgroupBroadcast(a0.$c, $lu);
        let y$c$l = subgroupBroadcast(a1.$c, $lu);
        s$c$la = s$c$la + x$c$l * b0a + y$c$l * b1a;
        s$c$lb = s$c$lb + x$c$l * b0b + y$c$l * b1b;
        //@ end
    }
    var sums = array(
        //@ for c in x, y, z, w; l in 0..8
        s$c$la, s$c$lb,
        //@ end
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
