// softmax: y = exp(x - max x) / sum exp(x - max x), for each row; with LOG the logarithm of it.
//
// Shapes  x, y: [N,C]
// Grid    row_shared
// Twin    src/ops/norm/softmax.rs

override LOG: bool;

struct Dims { n: u32, c: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N,C]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    let exps = row_exps(begin, lane, c);
    for (var j = lane; j < c; j += dims.lanes) {
        let d = x[begin + j] - exps.largest;
        if LOG { y[begin + j] = d - log1(exps.sum); } else { y[begin + j] = exp1(d) / exps.sum; }
    }
}
