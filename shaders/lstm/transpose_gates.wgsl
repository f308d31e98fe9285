// transpose_gates: R [K,U] of 4 -> R^T [U,K] of 4, for the backward pass.
//
// Grid    folded ceil(K*U/64)
// Twin    src/ops/lstm/cpu/ packs R anew instead

struct Dims { rows: u32, columns: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<Gates>;        // [K,U]
@group(0) @binding(2) var<storage, read_write> y: array<Gates>;  // [U,K]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= dims.rows * dims.columns { return; }
    let row = i / dims.columns;
    let column = i % dims.columns;
    y[column * dims.rows + row] = x[i];
}
