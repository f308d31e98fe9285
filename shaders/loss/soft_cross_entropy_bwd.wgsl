// soft_cross_entropy_bwd: d_x = d_loss * scale * w * (softmax(x) sum(target) - target), for each row: see
// soft_cross_entropy.
//
// Shapes  x, y, d_x: [N,C]; weights: [N]; class_weights: [C]; stats: [N,3]; d_loss: [1]
// Grid    row_shared
// Twin    src/ops/loss/soft_cross_entropy.rs

@group(0) @binding(5) var<storage, read> stats: array<f32>;      // [N,3]
@group(0) @binding(6) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(7) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    let largest = stats[3u * row];
    let sum = stats[3u * row + 1u];
    let size = stats[3u * row + 2u];
    var factor = d_loss[0] * dims.scale;
    var skip = false;
    if WEIGHTS {
        factor *= weights[row];
        skip = weights[row] == 0.0;
    }
    for (var j = lane; j < c; j += dims.lanes) {
        let p = exp1(x[begin + j] - largest) / sum;
        let d = factor * (size * p - target_of(begin, j));
        d_x[begin + j] = select(d, 0.0, skip);
    }
}
