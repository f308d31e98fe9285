// quantize_rows: each row as signed bytes, by its own range, which is widened to have 0.
//
//   scale = (max - min) / 255    zero = round(-min / scale)
//   byte  = clamp(round(x / scale) + zero, 0, 255) - 128
//
// A row with a number that is not finite gets NaN for a scale.
//
// Shapes  x: [N,C]; y: [N,2 + words], of each row scale and zero - 128 as bits of floats, then four bytes a word
// Grid    rowwise
// Parts   common/is_nan.wgsl, common/row_reduce.wgsl
// Twin    src/ops/quantized/rows.rs

struct Dims { n: u32, c: u32, words: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N,C]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // [N,2 + words]

fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }

fn take_row(row: u32, lane: u32) {
    let begin = row * dims.c;
    var high = 0.0;
    var low = 0.0;  // less than 0 by so much
    for (var j = lane; j < dims.c; j += 64u) {
        high = larger(high, x[begin + j]);
        low = larger(low, -x[begin + j]);
    }
    high = workgroup_max(lane, high);
    workgroupBarrier();
    low = workgroup_max(lane, low);
    var scale = (high + low) / 255.0;
    if !is_finite(scale) && is_finite(high) && is_finite(low) { scale = high / 255.0 + low / 255.0; }
    // Of numbers as small as that nothing is left.
    if scale < 1.1754944e-38 { scale = 1.0; }
    let zero = round(clamp(low / scale, 0.0, 255.0));
    let to = row * (dims.words + 2u);
    if lane == 0u {
        var bits = bitcast<u32>(scale);
        if !is_finite(scale) { bits = 0x7fc00000u; }
        y[to] = bits;
        y[to + 1u] = bitcast<u32>(zero - 128.0);
    }
    for (var w = lane; w < dims.words; w += 64u) {
        var word = 0u;
        for (var b = 0u; b < 4u; b++) {
            let j = 4u * w + b;
            if j < dims.c {
                let whole = round(clamp(x[begin + j] / scale, -512.0, 512.0)) + zero;
                let byte = u32(clamp(whole, 0.0, 255.0)) ^ 0x80u;
                word |= byte << (8u * b);
            }
        }
        y[to + 2u + w] = word;
    }
}
