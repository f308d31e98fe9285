// max_norm: scales each column down to a norm of at most `limit`.
//
// Shapes  x: [rows, columns]
// Grid    elementwise, n = columns: one of them
// Twin    src/ops/optim/regularizer.rs

struct Dims { n: u32, rows: u32, limit: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;  // [rows,columns]

fn element(column: u32) {
    // Over the largest, so that no square overflows.
    var largest = 0.0;
    for (var row = 0u; row < dims.rows; row++) {
        let v = abs(x[row * dims.n + column]);
        largest = select(largest, v, v > largest || is_nan(v));
    }
    // A NaN stays: there is no norm.
    if largest == 0.0 || is_nan(largest) { return; }
    var all = LongSum();
    for (var first = 0u; first < dims.rows; first += PART) {
        var part = 0.0;
        let end = min(dims.rows, first + PART);
        for (var row = first; row < end; row++) {
            let v = x[row * dims.n + column] / largest;
            part += v * v;
        }
        add_part(&all, part);
    }
    // In this order: a norm that is larger than any float is none the less over the limit.
    var scale = (dims.limit / largest) / sqrt(all_parts(all));
    // An infinity in the column: the norm is infinite, though its share of the largest is NaN.
    if bitcast<u32>(largest) == 0x7f800000u { scale = 0.0; }
    if scale < 1.0 {
        for (var row = 0u; row < dims.rows; row++) { x[row * dims.n + column] *= scale; }
    }
}
