// accuracy: hit = w * (share of right answers), for each row.
//
//   KIND 0, categorical: the place of the largest x is the label (the first of equals)
//   KIND 1, binary:      x > 0 where y > 0.5, averaged over the row
//
// Shapes  x: [N,C]; expected: [N] labels or [N,C] bits of floats; weights, hit: [N]
// Grid    elementwise, n = N: a row
// Twin    src/ops/loss/accuracy.rs

override KIND: u32;
override WEIGHTS: bool;

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N,C]
@group(0) @binding(2) var<storage, read> expected: array<u32>;   // [N] or [N,C]
@group(0) @binding(3) var<storage, read> weights: array<f32>;    // [N]
@group(0) @binding(4) var<storage, read_write> hit: array<f32>;  // [N]

fn element(row: u32) {
    let begin = row * dims.c;
    var share = 0.0;
    if KIND == 0u {
        var best = 0u;
        for (var j = 1u; j < dims.c; j++) {
            if x[begin + j] > x[begin + best] { best = j; }
        }
        share = select(0.0, 1.0, best == expected[row]);
        // Who says NaN of a class says nothing.
        for (var j = 0u; j < dims.c; j++) { if is_nan(x[begin + j]) { share = 0.0; } }
    } else {
        for (var j = 0u; j < dims.c; j++) {
            let y = bitcast<f32>(expected[begin + j]);
            let right = (x[begin + j] > 0.0) == (y > 0.5);
            share += select(0.0, 1.0, right && !is_nan(x[begin + j]) && !is_nan(y));
        }
        share /= f32(dims.c);
    }
    if WEIGHTS { share *= weights[row]; }
    hit[row] = share;
}
