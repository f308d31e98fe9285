// two_sided_loss: loss = scale * w * sum_j (a_j above(x_j, y) + b_j below(x_j, y)), for each row, where
// (a_j, b_j) = sides[j], and y is the target that the output j has in common with `each` - 1 more.
//
//   KIND 0, binary cross-entropy of a logit:  above = (1 - y) softplus(x)    below = y softplus(-x)
//   KIND 1, pinball, a = 1 - q, b = q:        above = max(x - y, 0)          below = max(y - x, 0)
//
// Shapes  x: [N,C]; y: [N,C/each]; sides: [C,2]; weights, loss: [N]. Without WEIGHTS w = 1.
// Grid    row_shared
// Twin    src/ops/loss/two_sided_loss.rs

struct Dims { n: u32, c: u32, lanes: u32, each: u32, scale: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;  // [N]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    var all = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) {
            let side = sides[j];
            let x_j = x[begin + j];
            let y_j = y[(begin + j) / dims.each];
            if KIND == 0u {
                part += side.x * (1.0 - y_j) * softplus1(x_j) + side.y * y_j * softplus1(-x_j);
            } else {
                let d = x_j - y_j;
                part += select(side.x * d, -side.y * d, d < 0.0);
            }
        }
        add_part(&all, part);
    }
    var sum = row_sum(all_parts(all)) * dims.scale;
    if lane == 0u && c > 0u {
        // A row of weight 0 is padding: whatever it holds does not count.
        if WEIGHTS { sum = select(weights[row] * sum, 0.0, weights[row] == 0.0); }
        loss[row] = sum;
    }
}
