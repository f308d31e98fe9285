// What kernels of matrices stage, in vectors of four of K.

const EACH = 1u;  // elements of the arrays in a four
var<workgroup> a_tile: array<vec4<f16>, 2u * A_SIZE>;  // [2][TILE_M][STRIDE]
var<workgroup> b_tile: array<vec4<f16>, 2u * B_SIZE>;  // [2][TILE_N][STRIDE]

fn put_a(at: u32, four: vec4<f16>) { a_tile[at] = four; }
fn put_b(at: u32, four: vec4<f16>) { b_tile[at] = four; }
