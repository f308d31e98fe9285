// penalty_bwd: d_x (+)= d_loss * (l1 sign(x) + 2 l2 x).
//
// Shapes  x, d_x: [n]; d_loss: [1]
// Grid    folded ceil(n/64)
// Twin    src/ops/penalty.rs

override ACCUMULATE: bool;

struct Dims { n: u32, l1: f32, l2: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> d_loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.n { return; }
    let d = d_loss[0] * (dims.l1 * sign(x[i]) + 2.0 * dims.l2 * x[i]);
    if ACCUMULATE { d_x[i] += d; } else { d_x[i] = d; }
}
