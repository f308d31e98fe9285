// cross_entropy_bwd: d_x = d_loss * scale * w * (softmax(x) sum(target) - target), for each row,
// where target[j] = (1-s) k[label] onehot(label)[j] + s/C k[j]: see cross_entropy.
//
// Shapes  x, d_x: [N,C]; labels, weights: [N]; class_weights: [C]; stats: [N,2];
//         d_loss: [1]
// Grid    row_shared
// Twin    src/ops/loss/cross_entropy.rs

@group(0) @binding(5) var<storage, read> stats: array<f32>;      // [N,2]
@group(0) @binding(6) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(7) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn take_row(row: u32, lane: u32, c: u32) {
    let share = dims.smoothing / f32(dims.c);
    // What the classes have in common, all together.
    var all = dims.smoothing;
    if CLASSES && dims.smoothing > 0.0 {
        var classes = LongSum();
        for (var first = lane; first < c; first += PART * dims.lanes) {
            var part = 0.0;
            let end = min(c, first + PART * dims.lanes);
            for (var j = first; j < end; j += dims.lanes) { part += share * of_class(j); }
            add_part(&classes, part);
        }
        all = row_sum(all_parts(classes));
    }
    let begin = row * dims.c;
    let largest = stats[2u * row];
    let sum = stats[2u * row + 1u];
    var factor = d_loss[0] * dims.scale;
    var skip = false;
    if WEIGHTS {
        factor *= weights[row];
        skip = weights[row] == 0.0;
    }
    let label = labels[row];
    let right = (1.0 - dims.smoothing) * of_class(label);
    for (var j = lane; j < c; j += dims.lanes) {
        let p = exp1(x[begin + j] - largest) / sum;
        var target_j = select(0.0, right, j == label);
        if dims.smoothing > 0.0 { target_j += share * of_class(j); }
        let d = factor * ((right + all) * p - target_j);
        d_x[begin + j] = select(d, 0.0, skip);
    }
}
