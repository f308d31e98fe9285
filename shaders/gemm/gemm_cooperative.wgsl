// gemm_cooperative: C = op(A) op(B) (+ bias) (+ C), by matrices that a subgroup holds together. A and
// B are staged in shared memory in 16 bits, whatever they are in memory; sums have 32.
//
// Shapes  gemm/parts/gemm.wgsl; offset, stride and length of the rows that A and B have in memory are
//         multiples of 4, and ElemA and ElemB are vec4s
// Grid    ceil(N/TILE_N), ceil(M/TILE_M), slices * batch: a workgroup makes a tile of TILE_M x TILE_N, in blocks of
//         BM x BN matrices, one for each of its subgroups; K in turns of STEPS
// Twin    src/ops/gemm/cpu.rs
// Needs   f16. Any number of subgroups is right; best are as many as there are blocks
//
// The host names MAT, rows and columns of a matrix; BM, BN; TILE_M, TILE_N; STEPS; INVOCATIONS; and by a part how
// the factors are staged: put_a, put_b

const BLOCK_M = BM * MAT;
const BLOCK_N = BN * MAT;
const ACROSS = TILE_N / BLOCK_N;  // blocks side by side
const BLOCKS = TILE_M / BLOCK_M * ACROSS;
const STRIDE = STEPS / 4u + 2u;   // vec4s from a staged row to the next: two more than are used, for other banks
const AREA = MAT * MAT;

// Both factors are staged with K along their rows, as matrix units take them. Twice: the next turn's are put into one
// while the other is multiplied, and a turn costs one barrier. In fours of K:
const A_SIZE = TILE_M * STRIDE;
const B_SIZE = TILE_N * STRIDE;
var<workgroup> c_tile: array<f32, BLOCKS * AREA>;  // [BLOCKS][MAT][MAT]

// What an invocation stages in a turn: squares of 4 x 4 of either.
const A_SQUARES = TILE_M * STEPS / 16u;
const B_SQUARES = TILE_N * STEPS / 16u;

var<private> k_end: u32;  // of this workgroup's slice

// As they come from memory. Nothing is done with them until they are staged, since that would wait.
struct FourA { v0: ElemA, v1: ElemA, v2: ElemA, v3: ElemA }
struct FourB { v0: ElemB, v1: ElemB, v2: ElemB, v3: ElemB }

// Rows and columns past the end are some others, whose sums are not stored.
fn four_a(row: u32, k: u32) -> FourA {
    let stride = dims.lda / 4u;
    let last = arrayLength(&a) - 1u;
    var at = (a_begin + k) / 4u + row * stride;
    if TRANS_A { at = (a_begin + row) / 4u + k * stride; }
    return FourA(
        a[min(at, last)],
        a[min(at + stride, last)],
        a[min(at + 2u * stride, last)],
        a[min(at + 3u * stride, last)],
    );
}

fn four_b(k: u32, column: u32) -> FourB {
    let stride = dims.ldb / 4u;
    let last = arrayLength(&b) - 1u;
    var at = (b_begin + column) / 4u + k * stride;
    if TRANS_B { at = (b_begin + k) / 4u + column * stride; }
    return FourB(
        b[min(at, last)],
        b[min(at + stride, last)],
        b[min(at + 2u * stride, last)],
        b[min(at + 3u * stride, last)],
    );
}

// Four rows of four of K, and zeros past the end of it.
fn along_k(four: mat4x4<f16>, across: bool, k: u32) -> mat4x4<f16> {
    var rows = four;
    if across { rows = transpose(four); }
    if k + 4u > k_end {
        let inside = vec4(k) + vec4(0u, 1u, 2u, 3u) < vec4(k_end);
        let zero = vec4<f16>();
        rows = mat4x4<f16>(
            select(zero, rows[0], inside),
            select(zero, rows[1], inside),
            select(zero, rows[2], inside),
            select(zero, rows[3], inside),
        );
    }
    return rows;
}

fn stage_a(at: u32, four: FourA, k: u32) {
    let halves = mat4x4<f16>(
        vec4<f16>(four.v0), vec4<f16>(four.v1), vec4<f16>(four.v2), vec4<f16>(four.v3),
    );
    let rows = along_k(halves, TRANS_A, k);
    put_a(at, rows[0]);
    put_a(at + STRIDE, rows[1]);
    put_a(at + 2u * STRIDE, rows[2]);
    put_a(at + 3u * STRIDE, rows[3]);
}

fn stage_b(at: u32, four: FourB, k: u32) {
    let halves = mat4x4<f16>(
        vec4<f16>(four.v0), vec4<f16>(four.v1), vec4<f16>(four.v2), vec4<f16>(four.v3),
    );
    let columns = along_k(halves, !TRANS_B, k);
    put_b(at, columns[0]);
    put_b(at + STRIDE, columns[1]);
    put_b(at + 2u * STRIDE, columns[2]);
    put_b(at + 3u * STRIDE, columns[3]);
}

// Where square `index` of a tile with `fours` fours of rows lies: its four of K and its four of rows, neighbours
// along the memory.
struct Square { k: u32, row: u32 }

fn square(index: u32, fours: u32, along: bool) -> Square {
    if along { return Square(index % (STEPS / 4u), index / (STEPS / 4u)); }
    return Square(index / fours, index % fours);
}

// Whether an invocation has a square of number `turn`, where the workgroup has any.
fn has_a(turn: u32, lane: u32) -> bool {
    return turn * INVOCATIONS < A_SQUARES && lane + turn * INVOCATIONS < A_SQUARES;
}

fn has_b(turn: u32, lane: u32) -> bool {
    return turn * INVOCATIONS < B_SQUARES && lane + turn * INVOCATIONS < B_SQUARES;
}

fn place(here: Square) -> u32 {
    return here.row * 4u * STRIDE + here.k;
}

// Takes the matrices that so many subgroups left in shared memory, of blocks from `first` on, to their places.
fn put_matrices(slice: u32, first: u32, count: u32, row0: u32, column0: u32, lane: u32) {
    workgroupBarrier();
    for (var at = lane; at < count * AREA; at += INVOCATIONS) {
        let block = first + at / AREA;
        let row = row0 + block / ACROSS * BLOCK_M + at % AREA / MAT;
        let column = column0 + block % ACROSS * BLOCK_N + at % MAT;
        if row < dims.m && column < dims.n { put_slice(slice, row, column, c_tile[at]); }
    }
    workgroupBarrier();
}

fn tile(group: vec3<u32>, lane: u32, team: u32, teams: u32) {
    let row0 = group.y * TILE_M;
    let column0 = group.x * TILE_N;
    let slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    //@ for s n in a 0, a 1
    let $s$n = square(lane + $nu * INVOCATIONS, TILE_M / 4u, !TRANS_A);
    //@ end
    //@ for s n in b 0, b 1
    let $s$n = square(lane + $nu * INVOCATIONS, TILE_N / 4u, TRANS_B);
    //@ end
    // Fewer subgroups than blocks come again.
    for (var first = 0u; first < BLOCKS; first += teams) {
        let block = first + team;
        let mine = block < BLOCKS;
        let count = min(teams, BLOCKS - first);
        let a_block = block / ACROSS * BLOCK_M * STRIDE;
        let b_block = block % ACROSS * BLOCK_N * STRIDE;
        for (var at = lane; at < AREA; at += INVOCATIONS) { c_tile[at] = 0.0; }
        //@ for n in 0..2
        var next_a$n = FourA();
        if has_a($nu, lane) {
            next_a$n = four_a(row0 + a$n.row * 4u, k_begin + a$n.k * 4u);
            stage_a(place(a$n), next_a$n, k_begin + a$n.k * 4u);
        }
        var next_b$n = FourB();
        if has_b($nu, lane) {
            next_b$n = four_b(k_begin + b$n.k * 4u, column0 + b$n.row * 4u);
            stage_b(place(b$n), next_b$n, k_begin + b$n.k * 4u);
        }
        //@ end
        workgroupBarrier();
        //@ for i in 0..4; j in 0..4
        var s$i$j = no_sums();
        //@ end
        var now = 0u;
        for (var k0 = k_begin; k0 < k_end; k0 += STEPS) {
            // The next turn's come while this turn's are used.
            //@ for n in 0..2
            if has_a($nu, lane) {
                next_a$n = four_a(row0 + a$n.row * 4u, k0 + STEPS + a$n.k * 4u);
            }
            if has_b($nu, lane) {
                next_b$n = four_b(k0 + STEPS + b$n.k * 4u, column0 + b$n.row * 4u);
            }
            //@ end
            if mine {
                for (var k = 0u; k < STEPS / 4u; k += MAT / 4u) {
                    let left = now * A_SIZE + a_block + k;
                    let right = now * B_SIZE + b_block + k;
                    //@ for i in 0..4
                    let m$i = load_left(left + select(0u, $iu, $iu < BM) * MAT * STRIDE);
                    //@ end
                    //@ for j in 0..4
                    if $ju < BN {
                        let n$j = load_right(right + $ju * MAT * STRIDE);
                        //@ for i in 0..4
                        if $iu < BM { s$i$j = add_product(m$i, n$j, s$i$j); }
                        //@ end
                    }
                    //@ end
                }
            }
            now = 1u - now;
            //@ for n in 0..2
            if has_a($nu, lane) {
                stage_a(now * A_SIZE + place(a$n), next_a$n, k0 + STEPS + a$n.k * 4u);
            }
            if has_b($nu, lane) {
                stage_b(now * B_SIZE + place(b$n), next_b$n, k0 + STEPS + b$n.k * 4u);
            }
            //@ end
            workgroupBarrier();
        }
        //@ for i in 0..4; j in 0..4
        if $iu < BM && $ju < BN {
            if mine { store_sums(s$i$j, team * AREA); }
            put_matrices(slice, first, count, row0 + $iu * MAT, column0 + $ju * MAT, lane);
        }
        //@ end
    }
}
