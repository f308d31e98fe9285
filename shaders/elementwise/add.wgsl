// add: y = a + b, where two gradients meet.
//
// Grid    folded ceil(N/64)
// Twin    src/ops/add.rs

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read> b: array<f32>;        // [N]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i < dims.n { y[i] = a[i] + b[i]; }
}
