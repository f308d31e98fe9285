// softmax: y = exp(x - max x) / sum exp(x - max x), for each row; with LOG the logarithm of it.
//
// Grid    folded N: a workgroup of 64 takes a row
// Twin    src/ops/softmax.rs

override LOG: bool;

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N,C]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_index(group, groups, 0u, 1u);
    if row >= dims.n { return; }
    let begin = row * dims.c;
    let largest = row_largest(lane, begin);
    let sum = row_exps(lane, begin, largest);
    for (var j = lane; j < dims.c; j += 64u) {
        let d = x[begin + j] - largest;
        if LOG { y[begin + j] = d - log1(sum); } else { y[begin + j] = exp1(d) / sum; }
    }
}
