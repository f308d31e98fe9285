// pointwise_loss: loss = scale * w * sum_j l(x_j, y_j), for each row.
//
//   KIND 0, binary cross-entropy of a logit:  l = softplus(x) - x y
//   KIND 1, squared error:                    l = (x - y)^2
//   KIND 2, absolute error:                   l = |x - y|
//   KIND 3, Huber's, with p = delta:          l = (x - y)^2 / 2, or p (|x - y| - p/2) above p
//   KIND 4, pinball, with p = quantile:       l = p (y - x), or (1 - p) (x - y) above y
//
// Shapes  x, y: [N,C]; weights, loss: [N]. Without WEIGHTS w = 1.
// Grid    row_shared
// Twin    src/ops/loss/pointwise_loss.rs

override KIND: u32;
override WEIGHTS: bool;

struct Dims { n: u32, c: u32, lanes: u32, scale: f32, p: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [N,C]
@group(0) @binding(2) var<storage, read> y: array<f32>;           // [N,C]
@group(0) @binding(3) var<storage, read> weights: array<f32>;     // [N]
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;  // [N]

fn take_row(row: u32, lane: u32, c: u32) {
    let begin = row * dims.c;
    var all = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var i = first; i < end; i += dims.lanes) {
            let j = begin + i;
            let d = x[j] - y[j];
            switch KIND {
                case 0u: { part += softplus1(x[j]) - x[j] * y[j]; }
                case 1u: { part += d * d; }
                case 2u: { part += abs(d); }
                case 3u: {
                    part += select(0.5 * d * d, dims.p * (abs(d) - 0.5 * dims.p), abs(d) > dims.p);
                }
                default: { part += select((1.0 - dims.p) * d, -dims.p * d, d < 0.0); }
            }
        }
        add_part(&all, part);
    }
    var sum = row_sum(all_parts(all)) * dims.scale;
    if lane == 0u && c > 0u {
        if WEIGHTS { sum = select(weights[row] * sum, 0.0, weights[row] == 0.0); }
        loss[row] = sum;
    }
}
