// fill: y = value.
//
// Shapes  y: [N]
// Grid    folded ceil(N/256): an invocation writes four words 64 apart
// Twin    src/ops/fill.rs

struct Dims { n: u32, value: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [N], as bits: a NaN stays as it is

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = linear_index(group, groups, 0u, 256u) + lane;
    for (var j = 0u; j < 4u; j++) {
        let i = first + j * 64u;
        if i < dims.n { y[i] = dims.value; }
    }
}
