// mask_steps: y = x up to each row's length, 0 past it: padding may hold anything, also NaN.
//
// Shapes  x, y: [B,T,C]; lengths: [B]
// Grid    folded ceil(B*T*C/64)
// Parts   common/index.wgsl    Twin  src/ops/mask_steps.rs

struct Dims { n: u32, timesteps: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [B,T,C]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [B]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [B,T,C]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    let step = i / dims.c % dims.timesteps;
    let row = i / (dims.c * dims.timesteps);
    if step < lengths[row] { y[i] = x[i]; } else { y[i] = 0.0; }
}
