// cross_entropy_bwd: d_x = d_loss * scale * w * (softmax(x) sum(target) - target), for each row,
// where target[j] = (1-s) k[label] onehot(label)[j] + s/C k[j]: see cross_entropy.
//
// Shapes  x, d_x: [N,C]; labels, weights: [N]; class_weights: [C]; d_loss: [1]
// Grid    rowwise, n = N
// Twin    src/ops/loss/cross_entropy.rs

@group(0) @binding(5) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(6) var<storage, read_write> d_x: array<f32>;  // [N,C]

fn take_row(row: u32, lane: u32) {
    let begin = row * dims.c;
    let largest = row_largest(lane, begin);
    let sum = row_exps(lane, begin, largest);
    var factor = d_loss[0] * dims.scale;
    var skip = false;
    if WEIGHTS {
        factor *= weights[row];
        skip = weights[row] == 0.0;
    }
    let share = dims.smoothing / f32(dims.c);
    var all = 0.0;
    if dims.smoothing > 0.0 {
        var classes = LongSum();
        for (var first = lane; first < dims.c; first += PART * 64u) {
            var part = 0.0;
            let end = min(dims.c, first + PART * 64u);
            for (var j = first; j < end; j += 64u) { part += share * of_class(j); }
            add_part(&classes, part);
        }
        all = workgroup_sum(lane, all_parts(classes));
    }
    let label = labels[row];
    let right = (1.0 - dims.smoothing) * of_class(label);
    for (var j = lane; j < dims.c; j += 64u) {
        let p = exp1(x[begin + j] - largest) / sum;
        var target_j = select(0.0, right, j == label);
        if dims.smoothing > 0.0 { target_j += share * of_class(j); }
        let d = factor * ((right + all) * p - target_j);
        d_x[begin + j] = select(d, 0.0, skip);
    }
}
