// rescale: y = x times the loss scale, or, with INVERSE, divided by it.
//
// Shapes  x, y: [N]; state: [4], of which the first is the scale
// Grid    folded ceil(N/64)
// Twin    src/ops/loss_scale.rs

override INVERSE: bool;

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> state: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    y[i] = x[i] * select(state[0], 1.0 / state[0], INVERSE);
}
