// norm_parts: of each block of a gradient the largest size, and the sum of the squares over the square of
// the power of two near it, in a fixed order.
//
// Shapes  g: [size]; parts: [.., 2], of which this launch writes n from `base` on
// Grid    rowwise, n = ceil(size/block): a block
// Twin    src/ops/optim/norm.rs

struct Dims { n: u32, size: u32, block: u32, base: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> g: array<f32>;                  // [size]
@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>;  // [..]: largest, sum

fn take_row(block: u32, lane: u32) {
    let begin = block * dims.block + lane;
    let end = min(dims.size, (block + 1u) * dims.block);
    var own = 0.0;
    for (var i = begin; i < end; i += 64u) { own = larger(own, abs(g[i])); }
    let largest = workgroup_max(lane, own);
    let inverse = inverse_power_of(largest);
    var all = LongSum();
    for (var first = begin; first < end; first += PART * 64u) {
        var part = 0.0;
        let last = min(end, first + PART * 64u);
        for (var i = first; i < last; i += 64u) {
            let v = g[i] * inverse;
            part += v * v;
        }
        add_part(&all, part);
    }
    let sum = workgroup_sum(lane, all_parts(all));
    if lane == 0u { parts[dims.base + block] = vec2(largest, sum); }
}
