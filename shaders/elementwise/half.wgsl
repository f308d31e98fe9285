// half: y = x in 16-bit floats, two to a word. What is too large becomes infinite.
//
// Grid    folded ceil(ceil(N/2)/64): an invocation makes one word; if N is odd, the last word's
//         second half is 0
// Twin    src/ops/half.rs
// Needs   f16

struct Dims { n: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [N]
@group(0) @binding(2) var<storage, read_write> y: array<vec2<f16>>;  // [ceil(N/2)]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let word = linear_index(group, groups, lane, 64u);
    let i = 2u * word;
    if i >= dims.n { return; }
    var pair = vec2(f16(x[i]), f16(0.0));
    if i + 1u < dims.n { pair.y = f16(x[i + 1u]); }
    y[word] = pair;
}
