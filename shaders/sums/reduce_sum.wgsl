// reduce_sum: y[i] (+)= scale * the sum of the i-th block of x, in a fixed order. A block is 16,384
// elements, which is more than most batches have rows.
//
// Shapes  x: [N]; y: [groups]
// Grid    rowwise, n = groups: a block
// Twin    src/ops/sums/reduce_sum.rs

override ACCUMULATE: bool;

struct Dims { n: u32, scale: f32, size: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [groups]

const BLOCK = 16384u;

fn take_row(block: u32, lane: u32) {
    let end = min(dims.size, (block + 1u) * BLOCK);
    var all = LongSum();
    for (var first = block * BLOCK + lane; first < end; first += PART * 64u) {
        var part = 0.0;
        let last = min(end, first + PART * 64u);
        for (var i = first; i < last; i += 64u) { part += x[i]; }
        add_part(&all, part);
    }
    let sum = workgroup_sum(lane, all_parts(all));
    if lane == 0u {
        var value = dims.scale * sum;
        if ACCUMULATE { value += y[block]; }
        y[block] = value;
    }
}
