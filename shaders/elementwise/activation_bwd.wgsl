// activation_bwd: d_x = d_y * act'(x), from y = act(x). KIND 0: sigmoid, 1: tanh, 2: relu.
//
// Grid    folded ceil(N/64)
// Twin    src/ops/activation.rs

override KIND: u32;

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> y: array<f32>;          // [N]
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // [N]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [N]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    if KIND == 0u {
        d_x[i] = d_y[i] * y[i] * (1.0 - y[i]);
    } else if KIND == 1u {
        d_x[i] = d_y[i] * (1.0 - y[i] * y[i]);
    } else {
        d_x[i] = select(d_y[i], 0.0, y[i] <= 0.0);
    }
}
