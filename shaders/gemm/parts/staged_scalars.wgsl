// What kernels of matrices stage, in single numbers: Metal loads matrices from nothing else.

const EACH = 4u;  // elements of the arrays in a four
var<workgroup> a_tile: array<f16, 8u * A_SIZE>;  // [2][TILE_M][4 STRIDE]
var<workgroup> b_tile: array<f16, 8u * B_SIZE>;  // [2][TILE_N][4 STRIDE]

//@ for s in a, b
fn put_$s(at: u32, four: vec4<f16>) {
    $s_tile[4u * at] = four.x;
    $s_tile[4u * at + 1u] = four.y;
    $s_tile[4u * at + 2u] = four.z;
    $s_tile[4u * at + 3u] = four.w;
}
//@ end
