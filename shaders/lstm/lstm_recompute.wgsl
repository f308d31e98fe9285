// lstm_recompute: the activated gates of all steps of a chunk at once, from what a forward pass kept.
//
//   a = W x + R h + b, as gates hold it on entry    i,f,g,o = those of the cell, from a and c
//
// Shapes  lstm/parts/forward.wgsl
// Grid    folded ceil(ways*frames*H/64)
// Twin    src/ops/lstm/cpu/

const HANDED_ON = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_index(group, groups, lane, 64u);
    if i >= arrayLength(&gates) { return; }
    way = i / (dims.frames * dims.h);
    gates[i] = Gates(cell_forward(vec4<f32>(gates[i]), c_before[i], i % dims.h).gates);
}
