// gemm_register: C = op(A) op(B) (+ bias) (+ C), sums in registers, no shared memory. For
// software adapters, where shared memory is plain memory behind a barrier.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/64), ceil(M/8), 1: a workgroup of 8 makes a tile of 8 x 64, an invocation 8
//         rows of 8 columns that are 8 apart. A is read at addresses that all invocations share.
// Twin    src/ops/gemm.rs, twin()

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
    // Rows and columns past the end read the last one; their sums are not stored.
    let row0 = group.y * 8u;
    let last = dims.m - 1u;
    let m0 = row0;
    let m1 = min(row0 + 1u, last);
    let m2 = min(row0 + 2u, last);
    let m3 = min(row0 + 3u, last);
    let m4 = min(row0 + 4u, last);
    let m5 = min(row0 + 5u, last);
    let m6 = min(row0 + 6u, last);
    let m7 = min(row0 + 7u, last);
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
    for (var k = 0u; k < dims.k; k++) {
        let ra = vec4(load_a(m0, k), load_a(m1, k), load_a(m2, k), load_a(m3, k));
        let rb = vec4(load_a(m4, k), load_a(m5, k), load_a(m6, k), load_a(m7, k));
        let b0 = load_b(k, n0);
        s0a += b0 * ra;
        s0b += b0 * rb;
        let b1 = load_b(k, n1);
        s1a += b1 * ra;
        s1b += b1 * rb;
        let b2 = load_b(k, n2);
        s2a += b2 * ra;
        s2b += b2 * rb;
        let b3 = load_b(k, n3);
        s3a += b3 * ra;
        s3b += b3 * rb;
        let b4 = load_b(k, n4);
        s4a += b4 * ra;
        s4b += b4 * rb;
        let b5 = load_b(k, n5);
        s5a += b5 * ra;
        s5b += b5 * rb;
        let b6 = load_b(k, n6);
        s6a += b6 * ra;
        s6b += b6 * rb;
        let b7 = load_b(k, n7);
        s7a += b7 * ra;
        s7b += b7 * rb;
    }
    store(row0, column + 0u * 8u, s0a);
    store(row0 + 4u, column + 0u * 8u, s0b);
    store(row0, column + 1u * 8u, s1a);
    store(row0 + 4u, column + 1u * 8u, s1b);
    store(row0, column + 2u * 8u, s2a);
    store(row0 + 4u, column + 2u * 8u, s2b);
    store(row0, column + 3u * 8u, s3a);
    store(row0 + 4u, column + 3u * 8u, s3b);
    store(row0, column + 4u * 8u, s4a);
    store(row0 + 4u, column + 4u * 8u, s4b);
    store(row0, column + 5u * 8u, s5a);
    store(row0 + 4u, column + 5u * 8u, s5b);
    store(row0, column + 6u * 8u, s6a);
    store(row0 + 4u, column + 6u * 8u, s6b);
    store(row0, column + 7u * 8u, s7a);
    store(row0 + 4u, column + 7u * 8u, s7b);
}
