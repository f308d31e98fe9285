// halves: y = a + b, (a + b) / 2 or a * b, of the halves a and b of each row.
//
// Shapes  x: [rows,2C], y: [rows,C]
// Grid    folded ceil(n/64)
// Twin    src/ops/halves.rs

override KIND: u32;  // 0 sum, 1 mean, 2 product

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    let a = x[i / dims.c * 2u * dims.c + i % dims.c];
    let b = x[i / dims.c * 2u * dims.c + dims.c + i % dims.c];
    if KIND == 0u { y[i] = a + b; }
    if KIND == 1u { y[i] = 0.5 * (a + b); }
    if KIND == 2u { y[i] = a * b; }
}
