// layer_norm: y = gain * (x - mean) / sqrt(variance + epsilon) (+ bias), for each row.
//
// Shapes  x, y: [N,C]; gain, bias: [C]; stats: [N,2], the mean and one over the root
// Grid    row_shared
// Twin    src/ops/norm/layer_norm.rs
// Source  Ba et al. 2016, equation 4

override BIAS: bool;

struct Dims { n: u32, c: u32, lanes: u32, epsilon: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [N,C]
@group(0) @binding(2) var<storage, read> gain: array<f32>;         // [C]
@group(0) @binding(3) var<storage, read> bias: array<f32>;         // [C], if BIAS
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // [N,C]
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;  // [N,2]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    var values = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) { part += x[begin + j]; }
        add_part(&values, part);
    }
    let mean = row_sum(all_parts(values)) / f32(dims.c);
    // Not from the mean of the squares: that would cancel.
    var squares = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) {
            let d = x[begin + j] - mean;
            part += d * d;
        }
        add_part(&squares, part);
    }
    let variance = row_sum(all_parts(squares)) / f32(dims.c);
    let root = 1.0 / sqrt(variance + dims.epsilon);
    for (var j = lane; j < c; j += dims.lanes) {
        var value = gain[j] * ((x[begin + j] - mean) * root);
        if BIAS { value += bias[j]; }
        y[begin + j] = value;
    }
    if lane == 0u && c > 0u {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = root;
    }
}
