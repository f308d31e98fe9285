// metric_sums: the sums of which metrics are made, several in one dispatch, over each block of rows.
//
// Sum s of the first dims.sums is that of w * l(x_j, y_j) over the rows and over the columns j of
// first.. first + count, where wanted[s] = (kind, p, first, count) and l is by its kind:
//
//   0  |x - y|                      4  pinball: p (y - x), or (1 - p) (x - y) above y
//   1  (x - y)^2                    5  cross-entropy of a logit: softplus(x) - x y
//   2  |x - y| / max(|y|, 2^-52)    6  1 where y is from x_first to the x of the last column, once a row
//   3  2 |x - y| / (|x| + |y|),     7  1 where x < p
//      0 where both are 0           8  x
//   9  1 where x > p and y > 1/2, or neither: the answer is right
//  10, 11, 12  1 where x > p; y > 1/2; both
//  13, 14, 15  1 where x <= p; y <= 1/2; both
//
// 3 sums for each of dims.classes follow, if there are any: where x is an answer of answers.wgsl and y a
// label, w where the answer is that class, where the label is, where both are.
//
// A row of weight 0 is not read. A NaN in 0 .. 5 and 8 makes the sum NaN; in the others it is no answer.
//
// Shapes  x: [N,C]; y: [N,D] floats by their bits, each of them the target of `each` columns of x, and the
//         last of all from there on, or [N] labels; weights: [N]; wanted: [sums]; part: [blocks, S],
//         S = sums + 3 classes
// Grid    rowwise, n = blocks * S; a block is 1,024 rows
// Twin    src/ops/loss/metric_sums.rs

override WEIGHTS: bool;

struct Dims { n: u32, rows: u32, c: u32, d: u32, sums: u32, classes: u32, each: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [N,C]
@group(0) @binding(2) var<storage, read> y: array<u32>;            // [N,D]
@group(0) @binding(3) var<storage, read> weights: array<f32>;      // [N]
@group(0) @binding(4) var<storage, read> wanted: array<vec4<u32>>; // [sums]
@group(0) @binding(5) var<storage, read_write> part: array<f32>;   // [blocks,S]

const BLOCK = 1024u;

fn target_of(row: u32, j: u32) -> f32 {
    return bitcast<f32>(y[row * dims.d + min(j / dims.each, dims.d - 1u)]);
}

fn one(condition: bool) -> f32 { return select(0.0, 1.0, condition); }

fn term(kind: u32, p: f32, x: f32, y: f32) -> f32 {
    let d = x - y;
    let numbers = !is_nan(x) && !is_nan(y);
    switch kind {
        case 0u: { return abs(d); }
        case 1u: { return d * d; }
        case 2u: { return keep_nan(d, abs(d) / max(abs(y), 2.220446e-16)); }
        case 3u: {
            let size = abs(x) + abs(y);
            return keep_nan(d, select(2.0 * abs(d) / size, 0.0, size == 0.0));
        }
        case 4u: { return keep_nan(d, select((1.0 - p) * d, -p * d, d < 0.0)); }
        case 5u: { return softplus1(x) - x * y; }
        case 7u: { return one(x < p && !is_nan(x)); }
        case 8u: { return x; }
        case 9u: { return one((x > p) == (y > 0.5) && numbers); }
        case 10u: { return one(x > p && !is_nan(x)); }
        case 11u: { return one(y > 0.5 && !is_nan(y)); }
        case 12u: { return one(x > p && y > 0.5 && numbers); }
        case 13u: { return one(x <= p && !is_nan(x)); }
        case 14u: { return one(y <= 0.5 && !is_nan(y)); }
        default: { return one(x <= p && y <= 0.5 && numbers); }
    }
}

// 1 if the row's target lies within two of its values.
fn within(row: u32, low: u32, high: u32) -> f32 {
    let y = target_of(row, low);
    let a = x[row * dims.c + low];
    let b = x[row * dims.c + high];
    return one(a <= y && y <= b && !is_nan(a) && !is_nan(b) && !is_nan(y));
}

fn take_row(i: u32, lane: u32) {
    let all_sums = dims.sums + 3u * dims.classes;
    let block = i / all_sums;
    let s = i % all_sums;
    let end = min(dims.rows, (block + 1u) * BLOCK);
    var all = LongSum();
    for (var row = block * BLOCK + lane; row < end; row += 64u) {
        var w = 1.0;
        if WEIGHTS { w = weights[row]; }
        if w == 0.0 { continue; }
        if s >= dims.sums {
            let class_ = (s - dims.sums) / 3u;
            let is_answer = x[row * dims.c + 2u] == f32(class_);
            let is_label = y[row] == class_;
            let which = (s - dims.sums) % 3u;
            let holds = select(is_answer, is_label, which == 1u) && (which != 2u || is_label);
            add_part(&all, select(0.0, w, holds));
            continue;
        }
        let want = wanted[s];
        if want.x == 6u {
            add_part(&all, w * within(row, want.z, want.z + want.w - 1u));
            continue;
        }
        let last = want.z + want.w;
        for (var first = want.z; first < last; first += PART) {
            var sum = 0.0;
            for (var j = first; j < min(last, first + PART); j++) {
                sum += term(want.x, bitcast<f32>(want.y), x[row * dims.c + j], target_of(row, j));
            }
            add_part(&all, w * sum);
        }
    }
    let sum = workgroup_sum(lane, all_parts(all));
    if lane == 0u { part[i] = sum; }
}
