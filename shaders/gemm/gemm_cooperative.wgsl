// gemm_cooperative: C = op(A) op(B) (+ bias) (+ C), by matrices that a subgroup holds together.
//
// Shapes  gemm/parts/gemm.wgsl; offset, stride and length of the rows that A and B have in memory are
//         multiples of 4, and ElemA and ElemB are vec4s
// Grid    ceil(N/TILE_N), ceil(M/TILE_M), slices * batch: a workgroup makes a tile, as gemm/parts/matrices.wgsl has it
// Twin    src/ops/gemm/cpu.rs
// Needs   f16

var<private> slice: u32;

// As they come from memory. Nothing is done with them until they are staged, since that would wait.
struct FourA { v0: ElemA, v1: ElemA, v2: ElemA, v3: ElemA }
struct FourB { v0: ElemB, v1: ElemB, v2: ElemB, v3: ElemB }

// Rows and columns past the end are some others, whose sums are not stored.
fn rows_a(row: u32) -> vec4<u32> { return vec4(row); }

fn four_a(rows: vec4<u32>, k: u32) -> FourA {
    let row = rows.x;
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

fn turn_a() -> bool { return TRANS_A; }
fn turn_b() -> bool { return !TRANS_B; }
fn along_a() -> bool { return !TRANS_A; }
fn along_b() -> bool { return TRANS_B; }

// Takes the matrices that so many subgroups left in shared memory, of blocks from `first` on, to their places.
fn put_matrices(first: u32, count: u32, row0: u32, column0: u32, lane: u32) {
    for (var at = lane; at < count * AREA; at += INVOCATIONS) {
        let block = first + at / AREA;
        let row = row0 + block / ACROSS * BLOCK_M + at % AREA / MAT;
        let column = column0 + block % ACROSS * BLOCK_N + at % MAT;
        if row < dims.m && column < dims.n { put_slice(slice, row, column, c_tile[at]); }
    }
}

fn tile(group: vec3<u32>, lane: u32, team: u32, teams: u32) {
    slice = begin(group.z);
    let k_begin = slice * dims.k_slice;
    k_end = min(dims.k, k_begin + dims.k_slice);
    sums_of(group.y * TILE_M, group.x * TILE_N, k_begin, lane, team, teams);
}
