// gemm_register: C = op(A) op(B) (+ bias) (+ C), sums in registers, no shared memory. For
// software adapters, where shared memory is plain memory behind a barrier.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/64), ceil(M/8), batch: a workgroup of 8 makes a tile of 8 x 64, an invocation 8
//         rows of 8 columns that are 8 apart. A is read at addresses that all invocations share.
// Twin    src/ops/gemm/cpu.rs

// Four rows of one column.
fn store(row: u32, column: u32, sum: vec4<f32>) {
    if column >= dims.n { return; }
    for (var i = 0u; i < 4u; i++) {
        if row + i < dims.m {
            put(row + i, column, sum[i]);
        }
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    begin(group.z);
    // Rows and columns past the end read the last one; their sums are not stored.
    let row0 = group.y * 8u;
    let last = dims.m - 1u;
    let column = group.x * 64u + lane;
    //@ for i in 0..8
    let m$i = min(row0 + $iu, last);
    let n$i = min(column + $iu * 8u, dims.n - 1u);
    var s$ia = vec4(0.0);
    var s$ib = vec4(0.0);
    //@ end
    for (var k = 0u; k < dims.k; k++) {
        let ra = vec4(load_a(m0, k), load_a(m1, k), load_a(m2, k), load_a(m3, k));
        let rb = vec4(load_a(m4, k), load_a(m5, k), load_a(m6, k), load_a(m7, k));
        //@ for i in 0..8
        let b$i = load_b(k, n$i);
        s$ia += b$i * ra;
        s$ib += b$i * rb;
        //@ end
    }
    //@ for i in 0..8
    store(row0, column + $iu * 8u, s$ia);
    store(row0 + 4u, column + $iu * 8u, s$ib);
    //@ end
}
