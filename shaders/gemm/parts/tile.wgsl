// What products by tiles in shared memory have in common, whatever the size of a tile: STEPS of K in a
// turn, and WIDE vec4s in a tile's row.

// Twice: the next turn's come while this turn's are used, and a turn costs one barrier.
var<workgroup> a_tile: array<vec4<f32>, 512>;  // [2][STEPS][WIDE] of 4 rows
var<workgroup> b_tile: array<vec4<f32>, 512>;  // [2][STEPS][WIDE] of 4 columns

var<private> k_end: u32;  // of this workgroup's slice

fn a_inside(row: u32, k: u32) -> f32 {
    if row >= dims.m || k >= k_end { return 0.0; }
    return load_a(row, k);
}

fn b_inside(k: u32, column: u32) -> f32 {
    if column >= dims.n || k >= k_end { return 0.0; }
    return load_b(k, column);
}

fn a_rows(row: u32, k: u32) -> vec4<f32> {
    return vec4(a_inside(row, k), a_inside(row + 1u, k), a_inside(row + 2u, k), a_inside(row + 3u, k));
}

fn b_columns(k: u32, column: u32) -> vec4<f32> {
    return vec4(b_inside(k, column), b_inside(k, column + 1u), b_inside(k, column + 2u), b_inside(k, column + 3u));
}

fn store(slice: u32, row: u32, column: u32, sum: vec4<f32>) {
    if row >= dims.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if column + j < dims.n {
            put_slice(slice, row, column + j, sum[j]);
        }
    }
}

