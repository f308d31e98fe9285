// clip_norm: scales a gradient down where the norm of all gradients together exceeds `limit`.
//
//   norm = sqrt(sum g^2) over all parts    g *= min(1, limit / norm)
//
// Each workgroup adds up all parts, in the same order, rather than wait for another dispatch that does. A
// norm that is no finite number leaves everything as it is: an infinity or a NaN must not become 0.
//
// Shapes  parts: [parts, 2] of norm_parts; scaling: [4] of loss_scale_update; g: [size]
// Grid    rowwise, n = ceil(size/block): a block
// Twin    src/ops/optim/norm.rs
// Source  Pascanu et al. 2013, arXiv 1211.5063

struct Dims { n: u32, size: u32, block: u32, parts: u32, limit: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> parts: array<vec2<f32>>;  // [parts]: largest, sum
@group(0) @binding(2) var<storage, read> scaling: array<f32>;      // [4]
@group(0) @binding(3) var<storage, read_write> g: array<f32>;      // [size]

fn take_row(block: u32, lane: u32) {
    var own = 0.0;
    for (var i = lane; i < dims.parts; i += 64u) { own = larger(own, parts[i].x); }
    let largest = workgroup_max(lane, own);
    let inverse = inverse_power_of(largest);
    var all = LongSum();
    for (var first = lane; first < dims.parts; first += PART * 64u) {
        var part = 0.0;
        let last = min(dims.parts, first + PART * 64u);
        for (var i = first; i < last; i += 64u) {
            let ratio = power_of(parts[i].x) * inverse;
            part += parts[i].y * ratio * ratio;
        }
        add_part(&all, part);
    }
    let sum = workgroup_sum(lane, all_parts(all));
    if !is_finite(largest) || sum == 0.0 { return; }
    let share = scaled(dims.limit * inverse) / sqrt(sum);
    if share < 1.0 {
        let end = min(dims.size, (block + 1u) * dims.block);
        for (var i = block * dims.block + lane; i < end; i += 64u) { g[i] *= share; }
    }
}
