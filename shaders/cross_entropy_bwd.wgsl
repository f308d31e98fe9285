// cross_entropy_bwd: d_x = d_loss * scale * w * (softmax(x) - onehot(label)), for each row.
//
// Shapes  x, d_x: [N,C]; labels, weights: [N]; d_loss: [1]. Without WEIGHTS w = 1.
// Grid    folded N: a workgroup of 64 takes a row
// Parts   common/row_reduce.wgsl, common/index.wgsl    Twin  src/ops/cross_entropy.rs

override WEIGHTS: bool;

struct Dims { n: u32, c: u32, scale: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N,C]
@group(0) @binding(2) var<storage, read> labels: array<u32>;     // [N]
@group(0) @binding(3) var<storage, read> weights: array<f32>;    // [N]
@group(0) @binding(4) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;  // [N,C]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_index(group, groups, 0u, 1u);
    if row >= dims.n { return; }
    let begin = row * dims.c;
    var largest = x[begin];
    for (var j = lane; j < dims.c; j += 64u) {
        let v = x[begin + j];
        largest = select(select(largest, v, v > largest), v, v != v);
    }
    largest = workgroup_max(lane, largest);
    var sum = 0.0;
    for (var j = lane; j < dims.c; j += 64u) { sum += exp(x[begin + j] - largest); }
    sum = workgroup_sum(lane, sum);
    var factor = d_loss[0] * dims.scale;
    var skip = false;
    if WEIGHTS {
        factor *= weights[row];
        skip = weights[row] == 0.0;
    }
    for (var j = lane; j < dims.c; j += 64u) {
        let p = exp(x[begin + j] - largest) / sum;
        let d = factor * select(p, p - 1.0, j == labels[row]);
        d_x[begin + j] = select(d, 0.0, skip);
    }
}
