// gemm_cooperative: C = op(A) op(B) (+ bias) (+ C), by matrices that a subgroup holds together. A and
// B are staged in shared memory in 16 bits, whatever they are in memory; sums have 32.
//
// Shapes  gemm/parts/gemm.wgsl; offset, stride and length of the rows that A and B have in memory are
//         multiples of 4, and ElemA and ElemB are vec4s
// Grid    ceil(N/64), ceil(M/64), slices * batch: a workgroup of 128 makes a tile of 64 x 64, in four blocks of
//         32 x 32 that its subgroups share out; K in turns of 32
// Twin    src/ops/gemm/cpu.rs
// Needs   f16; at least two subgroups in a workgroup

const SIDE = 64u;    // of the tile
const STEPS = 32u;   // of K in a turn
const STRIDE = 10u;  // vec4s from a staged row to the next: two more than are used, for other banks
const BLOCKS = 4u;

// Both with K along their rows, as matrix units take them.
var<workgroup> a_tile: array<vec4<f16>, 640>;  // [SIDE][STRIDE] of 4 of K
var<workgroup> b_tile: array<vec4<f16>, 640>;  // [SIDE][STRIDE] of 4 of K
var<workgroup> c_tile: array<f32, 2048>;       // [SIDE/2][SIDE]

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
    a_tile[at] = rows[0];
    a_tile[at + STRIDE] = rows[1];
    a_tile[at + 2u * STRIDE] = rows[2];
    a_tile[at + 3u * STRIDE] = rows[3];
}

fn stage_b(at: u32, four: FourB, k: u32) {
    let halves = mat4x4<f16>(
        vec4<f16>(four.v0), vec4<f16>(four.v1), vec4<f16>(four.v2), vec4<f16>(four.v3),
    );
    let columns = along_k(halves, !TRANS_B, k);
    b_tile[at] = columns[0];
    b_tile[at + STRIDE] = columns[1];
    b_tile[at + 2u * STRIDE] = columns[2];
    b_tile[at + 3u * STRIDE] = columns[3];
}

fn tile(group: vec3<u32>, lane: u32, team: u32, teams: u32) {
    let row0 = group.y * SIDE;
    let column0 = group.x * SIDE;
    // Each invocation stages 4 x 4 of either, neighbours along the memory.
    var ak = lane % 8u;
    var ar = lane / 8u;
    if TRANS_A { ak = lane / 16u; ar = lane % 16u; }
    var bk = lane / 16u;
    var bc = lane % 16u;
    if TRANS_B { bk = lane % 8u; bc = lane / 8u; }
    let a_place = ar * 4u * STRIDE + ak;
    let b_place = bc * 4u * STRIDE + bk;
    let row_staged = row0 + ar * 4u;
    let column_staged = column0 + bc * 4u;
    let slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    var next_a = four_a(row_staged, k_begin + ak * 4u);
    var next_b = four_b(k_begin + bk * 4u, column_staged);

    c_tile[lane] = 0.0;
    c_tile[lane + 128u] = 0.0;
    workgroupBarrier();
    // With two subgroups each has two blocks, with four or more one at most.
    let other = team + teams;
    //@ for b t in p team, q other
    let $ba = $t / 2u * 32u * STRIDE;
    let $bb = $t % 2u * 32u * STRIDE;
    //@ end
    //@ for b in p, q; i in 00, 01, 10, 11
    var $b$i = no_sums();
    //@ end
    for (var k0 = k_begin; k0 < k_end; k0 += STEPS) {
        stage_a(a_place, next_a, k0 + ak * 4u);
        stage_b(b_place, next_b, k0 + bk * 4u);
        workgroupBarrier();
        // The next turn's come while this turn's are used.
        next_a = four_a(row_staged, k0 + STEPS + ak * 4u);
        next_b = four_b(k0 + STEPS + bk * 4u, column_staged);
        for (var k = 0u; k < STEPS / 4u; k += 4u) {
            //@ for b t in p team, q other
            if $t < BLOCKS {
                let a0 = load_left($ba + k);
                let a1 = load_left($ba + 16u * STRIDE + k);
                let b0 = load_right($bb + k);
                let b1 = load_right($bb + 16u * STRIDE + k);
                //@ for i j in 0 0, 0 1, 1 0, 1 1
                $b$i$j = add_product(a$i, b$j, $b$i$j);
                //@ end
            }
            //@ end
        }
        workgroupBarrier();
    }

    // Two of the blocks, side by side, at a time.
    let column = lane % SIDE;
    for (var pair = 0u; pair < BLOCKS / 2u; pair++) {
        //@ for b t in p team, q other
        if $t / 2u == pair {
            let at = $t % 2u * 32u;
            store_sums($b00, at);
            store_sums($b01, at + 16u);
            store_sums($b10, at + 16u * SIDE);
            store_sums($b11, at + 16u * SIDE + 16u);
        }
        //@ end
        workgroupBarrier();
        if column0 + column < dims.n {
            for (var row = lane / SIDE; row < SIDE / 2u; row += 2u) {
                let here = row0 + pair * (SIDE / 2u) + row;
                if here < dims.m {
                    put_slice(slice, here, column0 + column, c_tile[row * SIDE + column]);
                }
            }
        }
        workgroupBarrier();
    }
}
