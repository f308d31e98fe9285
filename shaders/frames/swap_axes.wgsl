// swap_axes: y[b,a] = x[a,b], for rows of C words.
//
// Shapes  x: [A,B,C], y: [B,A,C]
// Grid    folded ceil(A*B*C/64)
// Twin    src/ops/swap_axes.rs

struct Dims { a: u32, b: u32, c: u32 }

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
    if i >= dims.a * dims.b * dims.c { return; }
    let row = i / dims.c;
    y[i] = x[(row % dims.a * dims.b + row / dims.a) * dims.c + i % dims.c];
}
