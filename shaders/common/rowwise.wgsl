// The entry of kernels in which a workgroup of 64 takes a row by itself: the i-th of dims.n, by
// `take_row` of theirs.
//
// Grid    folded dims.n

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, 0u, 1u);
    if i < dims.n { take_row(i, lane); }
}
