// lstm_stepwise_matrices: one timestep of an LSTM layer, of any size, by matrices that a subgroup holds together.
//
//   a = x_part + R h    then the cell
//
// Shapes  lstm/parts/forward.wgsl; h_before and c_before are always there
// Grid    ceil(4H/TILE_N), ceil(b/TILE_M), ways: a workgroup takes the four gates of TILE_N/4 units, of TILE_M rows, as
//         gemm/parts/matrices.wgsl has it: A is h, rounded to 16 bits as it is staged, B is R
// Twin    src/ops/lstm/cpu/
// Needs   f16

struct FourA { v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32> }
struct FourB { v0: Gates, v1: Gates, v2: Gates, v3: Gates }

// Where h of a row lies: at the first step among the states. Of a row past its end, or past the chunk, some other's,
// whose sums nobody uses.
fn row_a(row: u32) -> u32 {
    let here = find_row(row);
    let at = select(state_place(dims.state_in, here, 0u), place(here, dims.step, 0u), dims.step > 0u);
    return select(0u, at, dims.step < here.steps);
}

fn rows_a(row: u32) -> vec4<u32> {
    return vec4(row_a(row), row_a(row + 1u), row_a(row + 2u), row_a(row + 3u));
}

// h of four units of a row.
fn h_four(row: u32, units: vec4<u32>) -> vec4<f32> {
    let at = vec4(row) + units;
    if dims.step > 0u { return vec4(h_before[at.x], h_before[at.y], h_before[at.z], h_before[at.w]); }
    if dims.initial == 0u { return vec4(0.0); }
    return vec4(state[at.x], state[at.y], state[at.z], state[at.w]);
}

fn four_a(rows: vec4<u32>, unit: u32) -> FourA {
    let units = min(vec4(unit) + vec4(0u, 1u, 2u, 3u), vec4(dims.h - 1u));
    return FourA(h_four(rows.x, units), h_four(rows.y, units), h_four(rows.z, units), h_four(rows.w, units));
}

// What h of four units adds to the gates of one.
fn four_b(unit: u32, column: u32) -> FourB {
    let last = dims.h - 1u;
    let at = min(vec4(unit) + vec4(0u, 1u, 2u, 3u), vec4(last)) * dims.h
        + vec4(way * dims.r_way + min(column / 4u, last));
    return FourB(r[at.x], r[at.y], r[at.z], r[at.w]);
}

fn turn_a() -> bool { return false; }
fn turn_b() -> bool { return true; }
fn along_a() -> bool { return true; }
fn along_b() -> bool { return false; }

// Ends the step of the units whose gates' sums are in shared memory.
fn put_matrices(first: u32, count: u32, row0: u32, column0: u32, lane: u32) {
    for (var at = lane; at < count * AREA / 4u; at += INVOCATIONS) {
        let block = first + at / (AREA / 4u);
        let row = row0 + block / ACROSS * BLOCK_M + at % (AREA / 4u) / (MAT / 4u);
        let unit = (column0 + block % ACROSS * BLOCK_N) / 4u + at % (MAT / 4u);
        if row < dims.b && unit < dims.h {
            let sums = vec4(c_tile[4u * at], c_tile[4u * at + 1u], c_tile[4u * at + 2u], c_tile[4u * at + 3u]);
            end_step(row, unit, x_part(row, dims.step, unit) + sums);
        }
    }
}

fn tile(group: vec3<u32>, lane: u32, team: u32, teams: u32) {
    way = group.z;
    k_end = dims.h;
    sums_of(group.y * TILE_M, group.x * TILE_N, 0u, lane, team, teams);
}
