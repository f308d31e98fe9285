// The entry of kernels that take each of dims.n elements by itself, by `element` of theirs. A workgroup takes
// a block of elements that follow each other, as many as the grid leaves to it.
//
// Grid    folded; ceil(dims.n/64) workgroups, or fewer

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let all = 64u * groups.x * groups.y;
    let block = (dims.n + all - 1u) / all * 64u;
    let first = linear_index(group, groups, 0u, block);
    let end = min(dims.n, first + block);
    for (var i = first + lane; i < end; i += 64u) { element(i); }
}
