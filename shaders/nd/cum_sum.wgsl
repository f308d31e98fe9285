// cum_sum: the sums up to each place of an axis, or with REVERSE from it on; with EXCLUSIVE without it.
//
// Shapes  x, y: [outer,size,inner]
// Grid    elementwise, n = outer * inner
// Twin    src/ops/nd/scan.rs

override EXCLUSIVE: bool;
override REVERSE: bool;

struct Dims { n: u32, size: u32, inner: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [outer,size,inner]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [outer,size,inner]

fn element(i: u32) {
    let begin = i / dims.inner * dims.size * dims.inner + i % dims.inner;
    var sum = LongSum();
    for (var j = 0u; j < dims.size; j++) {
        let at = begin + select(j, dims.size - 1u - j, REVERSE) * dims.inner;
        let before = all_parts(sum);
        let v = x[at];
        add_part(&sum, v);
        y[at] = select(all_parts(sum), before, EXCLUSIVE);
    }
}
