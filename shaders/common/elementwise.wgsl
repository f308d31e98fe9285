// The entry of kernels in which an invocation takes an element by itself: the i-th of dims.n, by
// `element` of theirs.
//
// Grid    folded ceil(dims.n/64)

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i < dims.n { element(i); }
}
