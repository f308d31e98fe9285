// answers: what metrics need of each row of logits and its label, in one pass.
//
//   rank      the classes before the label, by logit; of equals the first comes first. 0: it is right
//   log loss  -log softmax(x)[label], if LOG_LOSS, else 0
//   class     the place of the largest x, the first of equals
//
// A row with a NaN answers nothing: rank 3e38, class -1, and its log loss is NaN. A row of weight 0 may be
// padding, and whatever it holds has 3e38, 0, -1. Ranks and classes are exact up to 2^24.
//
// Shapes  x: [N,C]; labels: [N] below C, where the weight is not 0; weights: [N]; y: [N,3]
// Grid    row_shared
// Twin    src/ops/loss/answers.rs

override WEIGHTS: bool;
override LOG_LOSS: bool;

struct Dims { n: u32, c: u32, lanes: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [N,C]
@group(0) @binding(2) var<storage, read> labels: array<u32>;     // [N]
@group(0) @binding(3) var<storage, read> weights: array<f32>;    // [N]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;    // [N,3]

const NOWHERE = 3e38;

fn take_row(row: u32, lane: u32, c: u32) {
    var counts = true;
    // A NaN counts, whatever a driver makes of `!=` with one.
    if WEIGHTS { counts = weights[row] != 0.0 || is_nan(weights[row]); }
    // No branch around the reductions, since not every compiler sees that a whole workgroup takes it.
    let begin = row * dims.c;
    let label = min(select(0u, labels[row], counts), dims.c - 1u);
    let own = x[begin + label];
    var largest = own;
    for (var j = lane; j < c; j += dims.lanes) { largest = larger(largest, x[begin + j]); }
    largest = row_max(largest);
    var before = 0u;
    var class_ = dims.c;
    var exps = LongSum();
    for (var first = lane; first < c; first += PART * dims.lanes) {
        var part = 0.0;
        let end = min(c, first + PART * dims.lanes);
        for (var j = first; j < end; j += dims.lanes) {
            let v = x[begin + j];
            before += select(0u, 1u, v > own || (v == own && j < label));
            if v == largest && class_ == dims.c { class_ = j; }
            if LOG_LOSS { part += exp1(v - largest); }
        }
        add_part(&exps, part);
    }
    let rank = row_sum(f32(before));
    let place = -row_max(-f32(class_));
    var loss = 0.0;
    if LOG_LOSS { loss = log1(row_sum(all_parts(exps))) + (largest - own); }
    if lane == 0u && c > 0u {
        let says = counts && !is_nan(largest);
        y[row * 3u] = select(NOWHERE, rank, says);
        y[row * 3u + 1u] = select(0.0, loss, counts);
        y[row * 3u + 2u] = select(-1.0, place, says);
    }
}
