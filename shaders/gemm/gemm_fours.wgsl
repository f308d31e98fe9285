// gemm_fours: C = op(A) op(B) (+ bias) (+ C), where the rows of A and B in memory are whole fours of elements, which
// come at once. For hardware GPUs.
//
// Shapes  gemm/parts/gemm.wgsl; lda, ldb, all offsets, a slice of K, and the axis along which A and B lie in memory
//         are multiples of 4
// Grid    ceil(N / 8 SIDE), ceil(M / 8 SIDE), slices * batch: a workgroup of SIDE x SIDE makes a tile of 8 SIDE x
//         8 SIDE, an invocation 8 x 8 of it, in quarters that are 4 SIDE apart; K in turns of 8
// Twin    src/ops/gemm/cpu.rs

const STEPS = 8u;             // of K in a turn
const WIDE = 2u * SIDE;       // vec4s of a tile's row
const LANES = SIDE * SIDE;
const LOADS = 16u / SIDE;     // fours of either tile that an invocation stages

// Twice: the next turn's come while this turn's are used, and a turn costs one barrier.
var<workgroup> a_tile: array<vec4<f32>, 4u * STEPS * SIDE>;  // [2][STEPS][WIDE] of 4 rows
var<workgroup> b_tile: array<vec4<f32>, 4u * STEPS * SIDE>;  // [2][STEPS][WIDE] of 4 columns

var<private> k_end: u32;  // of this workgroup's slice

// Where the four `index` of a tile lies: its step of K, and its first row or column; along which it lies.
struct Four { k: u32, cross: u32 }

fn four(index: u32, along_k: bool) -> Four {
    if along_k { return Four(index % 2u * 4u, index / 2u); }
    return Four(index / WIDE, index % WIDE * 4u);
}

fn a_four(index: u32, row0: u32, k0: u32) -> vec4<f32> {
    let here = four(index, !TRANS_A);
    let row = row0 + here.cross;
    let k = k0 + here.k;
    if row >= dims.m || k >= k_end { return vec4(0.0); }
    if TRANS_A { return vec4<f32>(a[(a_begin + k * dims.lda + row) / 4u]); }
    return vec4<f32>(a[(a_begin + row * dims.lda + k) / 4u]);
}

fn b_four(index: u32, column0: u32, k0: u32) -> vec4<f32> {
    let here = four(index, TRANS_B);
    let column = column0 + here.cross;
    let k = k0 + here.k;
    if column >= dims.n || k >= k_end { return vec4(0.0); }
    if TRANS_B { return vec4<f32>(b[(b_begin + column * dims.ldb + k) / 4u]); }
    return vec4<f32>(b[(b_begin + k * dims.ldb + column) / 4u]);
}

fn stage_a(now: u32, index: u32, values: vec4<f32>) {
    let here = four(index, !TRANS_A);
    let at = now + here.k * WIDE + here.cross / 4u;
    if TRANS_A {
        a_tile[at] = values;
    } else {
        let j = here.cross % 4u;
        a_tile[at][j] = values.x;
        a_tile[at + WIDE][j] = values.y;
        a_tile[at + 2u * WIDE][j] = values.z;
        a_tile[at + 3u * WIDE][j] = values.w;
    }
}

fn stage_b(now: u32, index: u32, values: vec4<f32>) {
    let here = four(index, TRANS_B);
    let at = now + here.k * WIDE + here.cross / 4u;
    if !TRANS_B {
        b_tile[at] = values;
    } else {
        let j = here.cross % 4u;
        b_tile[at][j] = values.x;
        b_tile[at + WIDE][j] = values.y;
        b_tile[at + 2u * WIDE][j] = values.z;
        b_tile[at + 3u * WIDE][j] = values.w;
    }
}

fn store(slice: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= dims.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if column + j < dims.n {
            put_slice(slice, row, column + j, sum[j]);
        }
    }
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = group.y * 8u * SIDE;
    let column0 = group.x * 8u * SIDE;
    let slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    for (var j = 0u; j < LOADS; j++) {
        let index = lane + j * LANES;
        stage_a(0u, index, a_four(index, row0, k_begin));
        stage_b(0u, index, b_four(index, column0, k_begin));
    }
    workgroupBarrier();
    //@ for i in 0..8
    var s$ia = vec4(0.0);
    var s$ib = vec4(0.0);
    //@ end
    var now = 0u;
    for (var k0 = k_begin; k0 < k_end; k0 += STEPS) {
        let next_a0 = a_four(lane, row0, k0 + STEPS);
        let next_b0 = b_four(lane, column0, k0 + STEPS);
        var next_a1 = vec4(0.0);
        var next_b1 = vec4(0.0);
        if LOADS > 1u {
            next_a1 = a_four(lane + LANES, row0, k0 + STEPS);
            next_b1 = b_four(lane + LANES, column0, k0 + STEPS);
        }
        //@ for k in 0..8
        {
            let at = now + $ku * WIDE;
            let a0 = a_tile[at + id.y];
            let a1 = a_tile[at + SIDE + id.y];
            let b0 = b_tile[at + id.x];
            let b1 = b_tile[at + SIDE + id.x];
            //@ for i r in 0 0.x, 1 0.y, 2 0.z, 3 0.w, 4 1.x, 5 1.y, 6 1.z, 7 1.w
            s$ia += a$r * b0;
            s$ib += a$r * b1;
            //@ end
        }
        //@ end
        now = STEPS * WIDE - now;
        stage_a(now, lane, next_a0);
        stage_b(now, lane, next_b0);
        if LOADS > 1u {
            stage_a(now, lane + LANES, next_a1);
            stage_b(now, lane + LANES, next_b1);
        }
        workgroupBarrier();
    }
    let row = row0 + id.y * 4u;
    let column = column0 + id.x * 4u;
    //@ for i r in 0 0u, 1 1u, 2 2u, 3 3u, 4 4u*SIDE, 5 4u*SIDE+1u, 6 4u*SIDE+2u, 7 4u*SIDE+3u
    store(slice, row + $r, column, s$ia);
    store(slice, row + $r, column + 4u * SIDE, s$ib);
    //@ end
}
