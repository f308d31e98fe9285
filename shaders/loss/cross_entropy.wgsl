// cross_entropy: loss = scale * w * ((1-s) k[label] l(label) + s/C sum_j k[j] l(j)), for each
// row, where l(j) = log sum exp x - x[j], k are the weights of the classes and s the smoothing.
//
// Shapes  x: [N,C]; labels, weights, loss: [N]; class_weights: [C]
// Grid    rowwise, n = N
// Twin    src/ops/loss/cross_entropy.rs

@group(0) @binding(5) var<storage, read_write> loss: array<f32>;  // [N]

fn take_row(row: u32, lane: u32) {
    let begin = row * dims.c;
    let largest = row_largest(lane, begin);
    let sum = row_exps(lane, begin, largest);
    var spread = 0.0;
    if dims.smoothing > 0.0 {
        var all = LongSum();
        for (var first = lane; first < dims.c; first += PART * 64u) {
            var part = 0.0;
            let end = min(dims.c, first + PART * 64u);
            for (var j = first; j < end; j += 64u) {
                part += of_class(j) * (log1(sum) + (largest - x[begin + j]));
            }
            add_part(&all, part);
        }
        spread = workgroup_sum(lane, all_parts(all)) * dims.smoothing / f32(dims.c);
    }
    if lane == 0u {
        let label = labels[row];
        let right = of_class(label) * (log1(sum) + (largest - x[begin + label]));
        var value = dims.scale * ((1.0 - dims.smoothing) * right + spread);
        if WEIGHTS {
            let w = weights[row];
            // A row of weight 0 is padding: whatever it holds does not count.
            value = select(w * value, 0.0, w == 0.0);
        }
        loss[row] = value;
    }
}
