// softmax_bwd: d_x = y * (d_y - sum(d_y * y)), for each row.
//
// Shapes  y, d_y, d_x: [N,C]
// Grid    row_shared
// Twin    src/ops/norm/softmax.rs

struct Dims { n: u32, c: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> y: array<f32>;          // [N,C]
@group(0) @binding(2) var<storage, read> d_y: array<f32>;        // [N,C]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    var products = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) { part += d_y[begin + j] * y[begin + j]; }
        add_part(&products, part);
    }
    let dot = row_sum(all_parts(products));
    for (var j = lane; j < c; j += dims.lanes) {
        d_x[begin + j] = y[begin + j] * (d_y[begin + j] - dot);
    }
}
