// regularizer: sums of l1 |x| + l2 x^2, a workgroup's share each, in a fixed order.
//
// Shapes  x: [n]; y: [groups]
// Grid    `groups` of 64, which take every groups-th block of 64 elements
// Twin    src/ops/optim/regularizer.rs

struct Dims { n: u32, groups: u32, l1: f32, l2: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [n]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [groups]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let stride = dims.groups * 64u;
    var all = LongSum();
    for (var first = group.x * 64u + lane; first < dims.n; first += PART * stride) {
        var part = 0.0;
        let end = min(dims.n, first + PART * stride);
        for (var i = first; i < end; i += stride) {
            part += dims.l1 * abs(x[i]) + dims.l2 * x[i] * x[i];
        }
        add_part(&all, part);
    }
    let sum = workgroup_sum(lane, all_parts(all));
    if lane == 0u { y[group.x] = sum; }
}
