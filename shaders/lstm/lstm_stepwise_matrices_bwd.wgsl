// lstm_stepwise_matrices_bwd: one timestep of an LSTM layer's backward pass, of any size, by matrices that a subgroup
// holds together.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward; with dims.before only d_h = d_a[0] R^T
//
// Shapes  lstm/parts/backward.wgsl; d_c is carried in d_state
// Grid    ceil(H/TILE_N), ceil(b/TILE_M), ways: a workgroup takes TILE_N units of TILE_M rows, as
//         gemm/parts/matrices.wgsl has it: A is d_a, B is R transposed, K is all gates of all units. Since there are
//         few units and much of K, subgroups share out K
// Twin    src/ops/lstm/cpu/
// Needs   f16

struct FourA { v0: Gates, v1: Gates, v2: Gates, v3: Gates }
struct FourB { v0: Gates, v1: Gates, v2: Gates, v3: Gates }

// Where d_a of a row lies. Of a row past its end, or past the chunk, some other's, whose sums nobody uses.
fn row_a(row: u32) -> u32 {
    let here = find_row(row);
    let behind = step_behind();
    return select(0u, place(here, behind, 0u), behind < here.steps);
}

fn rows_a(row: u32) -> vec4<u32> {
    return vec4(row_a(row), row_a(row + 1u), row_a(row + 2u), row_a(row + 3u));
}

fn four_a(rows: vec4<u32>, gate: u32) -> FourA {
    let at = rows + vec4(min(gate / 4u, dims.h - 1u));
    return FourA(gates[at.x], gates[at.y], gates[at.z], gates[at.w]);
}

fn four_b(gate: u32, column: u32) -> FourB {
    let last = dims.h - 1u;
    let at = vec4(way * dims.r_way + min(gate / 4u, last) * dims.h)
        + min(vec4(column) + vec4(0u, 1u, 2u, 3u), vec4(last));
    return FourB(rt[at.x], rt[at.y], rt[at.z], rt[at.w]);
}

fn turn_a() -> bool { return false; }
fn turn_b() -> bool { return false; }
fn along_a() -> bool { return true; }
fn along_b() -> bool { return false; }

// Ends the step of the units whose sums are in shared memory.
fn put_matrices(first: u32, count: u32, row0: u32, column0: u32, lane: u32) {
    for (var at = lane; at < count * AREA; at += INVOCATIONS) {
        let block = first + at / AREA;
        let row = row0 + block / ACROSS * BLOCK_M + at % AREA / MAT;
        let unit = column0 + block % ACROSS * BLOCK_N + at % MAT;
        if row < dims.b && unit < dims.h {
            var sum = 0.0;
            for (var part = 0u; part < shares; part++) { sum += c_tile[at + part * BLOCKS * AREA]; }
            end_step(row, unit, sum);
        }
    }
}

fn tile(group: vec3<u32>, lane: u32, team: u32, teams: u32) {
    way = group.z;
    // No step is behind the last one.
    k_end = select(0u, 4u * dims.h, step_behind() < dims.t);
    sums_of(group.y * TILE_M, group.x * TILE_N, 0u, lane, team, teams);
}
