// Sums of products by matrices that a subgroup holds together: a tile of TILE_M rows of A times TILE_N columns of B. Both
// are staged in shared memory in 16 bits, whatever they are in memory; sums have 32.
//
// The host names MAT, rows and columns of a matrix; BM, BN, matrices of a subgroup's block; TILE_M, TILE_N; STEPS, of K
// in a turn; INVOCATIONS; SHARES, subgroups, at most, that share out K for each block among them; and by a part how the
// factors are staged: put_a, put_b. The kernel says
//   rows_a    what it needs to know of four rows of A, found once: where they begin
//   four_a, four_b  four vec4s of a factor: of four rows, four of K each, or, if turn_a, turn_b, the other way round
//   along_a, along_b  whether neighbours in memory are neighbours along K
//   put_matrices  what becomes of sums: see sums_of
// Needs   f16. Any number of subgroups is right; best are BLOCKS * SHARES

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
var<workgroup> c_tile: array<f32, SHARES * BLOCKS * AREA>;  // [SHARES][BLOCKS][MAT][MAT]

// What an invocation stages in a turn: squares of 4 x 4 of either.
const A_SQUARES = TILE_M * STEPS / 16u;
const B_SQUARES = TILE_N * STEPS / 16u;

var<private> k_end: u32;   // of this workgroup's sums
var<private> shares: u32;  // of K, among subgroups

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
    let rows = along_k(halves, turn_a(), k);
    put_a(at, rows[0]);
    put_a(at + STRIDE, rows[1]);
    put_a(at + 2u * STRIDE, rows[2]);
    put_a(at + 3u * STRIDE, rows[3]);
}

fn stage_b(at: u32, four: FourB, k: u32) {
    let halves = mat4x4<f16>(
        vec4<f16>(four.v0), vec4<f16>(four.v1), vec4<f16>(four.v2), vec4<f16>(four.v3),
    );
    let columns = along_k(halves, turn_b(), k);
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

fn staged_at(here: Square) -> u32 {
    return here.row * 4u * STRIDE + here.k;
}

// The sums of a tile, of K from k_begin to k_end. put_matrices is told of each matrix of all blocks, with its place in
// the first of them, when c_tile has it: the parts of a sum, BLOCKS * AREA apart, as many as there are shares.
fn sums_of(row0: u32, column0: u32, k_begin: u32, lane: u32, team: u32, teams: u32) {
    shares = clamp(teams / BLOCKS, 1u, SHARES);
    //@ for s n in a 0, a 1
    let $s$n = square(lane + $nu * INVOCATIONS, TILE_M / 4u, along_a());
    //@ end
    //@ for s n in b 0, b 1
    let $s$n = square(lane + $nu * INVOCATIONS, TILE_N / 4u, along_b());
    //@ end
    //@ for n in 0..2
    var rows$n = vec4(0u);
    if has_a($nu, lane) { rows$n = rows_a(row0 + a$n.row * 4u); }
    //@ end
    // Fewer subgroups than blocks come again.
    for (var first = 0u; first < BLOCKS; first += teams) {
        let block = first + team % BLOCKS;
        let share = team / BLOCKS;
        let mine = block < BLOCKS && share < shares;
        let count = min(teams, BLOCKS - first);
        let a_block = block / ACROSS * BLOCK_M * STRIDE;
        let b_block = block % ACROSS * BLOCK_N * STRIDE;
        for (var at = lane; at < AREA; at += INVOCATIONS) { c_tile[at] = 0.0; }
        //@ for n in 0..2
        var next_a$n = FourA();
        if has_a($nu, lane) {
            next_a$n = four_a(rows$n, k_begin + a$n.k * 4u);
            stage_a(staged_at(a$n), next_a$n, k_begin + a$n.k * 4u);
        }
        var next_b$n = FourB();
        if has_b($nu, lane) {
            next_b$n = four_b(k_begin + b$n.k * 4u, column0 + b$n.row * 4u);
            stage_b(staged_at(b$n), next_b$n, k_begin + b$n.k * 4u);
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
                next_a$n = four_a(rows$n, k0 + STEPS + a$n.k * 4u);
            }
            if has_b($nu, lane) {
                next_b$n = four_b(k0 + STEPS + b$n.k * 4u, column0 + b$n.row * 4u);
            }
            //@ end
            if mine {
                for (var k = share * (MAT / 4u); k < STEPS / 4u; k += shares * (MAT / 4u)) {
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
                stage_a(now * A_SIZE + staged_at(a$n), next_a$n, k0 + STEPS + a$n.k * 4u);
            }
            if has_b($nu, lane) {
                stage_b(now * B_SIZE + staged_at(b$n), next_b$n, k0 + STEPS + b$n.k * 4u);
            }
            //@ end
            workgroupBarrier();
        }
        //@ for i in 0..4; j in 0..4
        if $iu < BM && $ju < BN {
            if mine { store_sums(s$i$j, team * AREA); }
            workgroupBarrier();
            put_matrices(first, count, row0 + $iu * MAT, column0 + $ju * MAT, lane);
            workgroupBarrier();
        }
        //@ end
    }
}
