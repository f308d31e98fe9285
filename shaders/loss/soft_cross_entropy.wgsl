// soft_cross_entropy: loss = scale * w * sum_j target[j] l(j), for each row, where l(j) = log sum exp x - x[j]
// and target[j] = k[j] ((1-s) y[j] + s/C), of the probabilities y, the classes' weights k and the smoothing s.
// What is 0 of a target does not count, even where a logit is -infinity.
//
// Shapes  x, y: [N,C]; weights, loss: [N]; class_weights: [C]; stats: [N,3], the largest x,
//         sum exp(x - largest) and sum target
// Grid    row_shared
// Twin    src/ops/loss/soft_cross_entropy.rs

@group(0) @binding(5) var<storage, read_write> loss: array<f32>;   // [N]
@group(0) @binding(6) var<storage, read_write> stats: array<f32>;  // [N,3]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    let exps = row_exps(begin, lane, c);
    let log = log1(exps.sum);
    var values = LongSum();
    var targets = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var value = 0.0;
        var size = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) {
            let t = target_of(begin, j);
            let counts = t != 0.0 || is_nan(t);
            value += select(0.0, t * (log + (exps.largest - x[begin + j])), counts);
            size += t;
        }
        add_part(&values, value);
        add_part(&targets, size);
    }
    var value = row_sum(all_parts(values)) * dims.scale;
    let size = row_sum(all_parts(targets));
    if lane == 0u && c > 0u {
        if WEIGHTS {
            let w = weights[row];
            // A row of weight 0 is padding: whatever it holds does not count.
            value = select(w * value, 0.0, w == 0.0);
        }
        loss[row] = value;
        stats[3u * row] = exps.largest;
        stats[3u * row + 1u] = exps.sum;
        stats[3u * row + 2u] = size;
    }
}
