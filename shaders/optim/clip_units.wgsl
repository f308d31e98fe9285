// clip_units: scales the gradient of each unit down where its norm exceeds a share of its weights' norm.
//
//   most = limit * max(|w|, 1e-3)    g *= min(1, most / |g|)    of each unit by itself
//
// A unit whose norms are no finite numbers stays as it is.
//
// Shapes  w, g: [units, size] if CONTIGUOUS, else [size, units]; scaling: [4] of loss_scale_update
// Grid    folded: a workgroup takes 4 units with 64 lanes each, or 16 with 16
// Twin    src/ops/optim/clip.rs
// Source  Brock et al. 2021, arXiv 2102.06171, equation 3

override CONTIGUOUS: bool;

struct Dims { units: u32, size: u32, limit: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> w: array<f32>;        // [units,size] or [size,units]
@group(0) @binding(2) var<storage, read> scaling: array<f32>;  // [4]
@group(0) @binding(3) var<storage, read_write> g: array<f32>;  // as w

// Of weights and of gradients, for the lanes of each unit side by side.
var<workgroup> pairs: array<vec2<f32>, 256>;

fn larger_pair(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2(larger(a.x, b.x), larger(a.y, b.y));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lanes = select(16u, 64u, CONTIGUOUS);
    // Neighbours read neighbouring words.
    let here = select(invocation % 16u, invocation / 64u, CONTIGUOUS);
    let lane = select(invocation / 16u, invocation % 64u, CONTIGUOUS);
    let unit = linear_index(group, groups, here, 256u / lanes);
    let first = select(unit, unit * dims.size, CONTIGUOUS);
    let apart = select(dims.units, 1u, CONTIGUOUS);
    let size = select(0u, dims.size, unit < dims.units);
    let slot = here * lanes + lane;

    var own = vec2(0.0);
    for (var i = lane; i < size; i += lanes) {
        let at = first + i * apart;
        own = larger_pair(own, vec2(abs(w[at]), abs(g[at])));
    }
    pairs[slot] = own;
    workgroupBarrier();
    for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
        if lane < stride { pairs[slot] = larger_pair(pairs[slot], pairs[slot + stride]); }
        workgroupBarrier();
    }
    let largest = pairs[here * lanes];
    workgroupBarrier();

    let inverse = vec2(inverse_power_of(largest.x), inverse_power_of(largest.y));
    var weights = LongSum();
    var gradients = LongSum();
    for (var begin = lane; begin < size; begin += PART * lanes) {
        var part = vec2(0.0);
        let end = min(size, begin + PART * lanes);
        for (var i = begin; i < end; i += lanes) {
            let at = first + i * apart;
            let v = vec2(w[at], g[at]) * inverse;
            part += v * v;
        }
        add_part(&weights, part.x);
        add_part(&gradients, part.y);
    }
    pairs[slot] = vec2(all_parts(weights), all_parts(gradients));
    workgroupBarrier();
    for (var stride = lanes / 2u; stride > 0u; stride /= 2u) {
        if lane < stride { pairs[slot] += pairs[slot + stride]; }
        workgroupBarrier();
    }
    let sum = pairs[here * lanes];

    if !is_finite(largest.x) || !is_finite(largest.y) || sum.y == 0.0 { return; }
    let norm = max(power_of(largest.x) * sqrt(sum.x), 1e-3);
    let share = scaled(dims.limit * norm * inverse.y) / sqrt(sum.y);
    if share < 1.0 {
        for (var i = lane; i < size; i += lanes) { g[first + i * apart] *= share; }
    }
}
