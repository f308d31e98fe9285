// The number of an invocation in a grid whose rows of workgroups were folded by the host.

fn linear_index(group: vec3<u32>, groups: vec3<u32>, lane: u32, size: u32) -> u32 {
    return (group.x + group.y * groups.x) * size + lane;
}
