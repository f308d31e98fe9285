// cross_entropy: loss = scale * w * ((1-s) k[label] l(label) + s/C sum_j k[j] l(j)), for each
// row, where l(j) = log sum exp x - x[j], k are the weights of the classes and s the smoothing.
//
// Shapes  x: [N,C]; labels, weights, loss: [N]; class_weights: [C]; stats: [N,2], the largest x and
//         sum exp(x - largest)
// Grid    row_shared
// Twin    src/ops/loss/cross_entropy.rs

@group(0) @binding(5) var<storage, read_write> loss: array<f32>;   // [N]
@group(0) @binding(6) var<storage, read_write> stats: array<f32>;  // [N,2]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    let exps = row_exps(begin, lane, c);
    let log = log1(exps.sum);
    var spread = 0.0;
    if dims.smoothing > 0.0 {
        var all = LongSum();
        for (var first = lane; first < c; first += PART * dims.lanes) {
            var part = 0.0;
            let end = min(c, first + PART * dims.lanes);
            for (var j = first; j < end; j += dims.lanes) {
                part += of_class(j) * (log + (exps.largest - x[begin + j]));
            }
            add_part(&all, part);
        }
        spread = row_sum(all_parts(all)) * dims.smoothing / f32(dims.c);
    }
    if lane == 0u && c > 0u {
        let label = labels[row];
        let right = of_class(label) * (log + (exps.largest - x[begin + label]));
        var value = dims.scale * ((1.0 - dims.smoothing) * right + spread);
        if WEIGHTS {
            let w = weights[row];
            // A row of weight 0 is padding: whatever it holds does not count.
            value = select(w * value, 0.0, w == 0.0);
        }
        loss[row] = value;
        stats[2u * row] = exps.largest;
        stats[2u * row + 1u] = exps.sum;
    }
}
