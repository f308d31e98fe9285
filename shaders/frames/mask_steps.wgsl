// mask_steps: y = x where the mask says so, 0 elsewhere: what is left out may be anything, also NaN.
//
// Shapes  x, y: [frames,C]; mask: [.., frames], of which x has those from `first` on
// Grid    folded ceil(frames*C/64)
// Twin    src/ops/mask_steps.rs

struct Dims { n: u32, c: u32, first: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    if mask[dims.first + i / dims.c] != 0u { y[i] = x[i]; } else { y[i] = 0.0; }
}
