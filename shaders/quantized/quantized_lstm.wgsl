// quantized_lstm: one LSTM timestep with a recurrent weight of bytes.
//
//   a = x_part + scale_h scale_r (sum h r - zero_h sum r)
//   i,f,o = sigmoid(a.xyw)    g = tanh(a.z)
//   c' = f*c + i*g            h' = o*tanh(c')
//
// Shapes  x_part: [steps,B,H] of vec4 (i,f,g,o) of one unit; bytes: [B,2 + words], h as quantize_rows writes it;
//         weight: [words,H] of vec4; of_weight: [H,4] of scale and sum r; rows: [B] of first frame in y and length
// Out     c, h: [B,H], in rows that have this step; y: [frames,width], from a column on, if Y
// Grid    elementwise, n = B*H
// Parts   common/is_nan.wgsl, common/activations.wgsl
// Twin    src/ops/quantized/recurrence.rs
// Source  Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000

override Y: bool;

struct Dims {
    n: u32, hidden: u32, words: u32,
    step: u32,     // of the rows
    first: u32,    // the step of x_part's first
    batch: u32,
    reverse: u32,
    width: u32,    // words from one frame of y to the next
    column: u32,   // the first of y
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x_part: array<vec4<f32>>;     // [steps,B,H]
@group(0) @binding(2) var<storage, read> bytes: array<u32>;            // [B,2 + words]
@group(0) @binding(3) var<storage, read> weight: array<vec4<u32>>;     // [words,H]
@group(0) @binding(4) var<storage, read> of_weight: array<vec2<u32>>;  // [H,4], the scale by its bits
@group(0) @binding(5) var<storage, read> rows: array<vec2<u32>>;       // [B]
@group(0) @binding(6) var<storage, read_write> c: array<f32>;          // [B,H]
@group(0) @binding(7) var<storage, read_write> h: array<f32>;          // [B,H]
@group(0) @binding(8) var<storage, read_write> y: array<f32>;          // [frames,width], if Y

fn element(i: u32) {
    let row = i / dims.hidden;
    let unit = i % dims.hidden;
    let place = rows[row];
    if dims.step >= place.y { return; }
    let begin = row * (dims.words + 2u);
    var sums = vec4(0);
    for (var w = 0u; w < dims.words; w++) {
        let four = bytes[begin + 2u + w];
        let r = weight[w * dims.hidden + unit];
        sums += vec4(
            dot4I8Packed(four, r.x),
            dot4I8Packed(four, r.y),
            dot4I8Packed(four, r.z),
            dot4I8Packed(four, r.w),
        );
    }
    let zero = i32(bitcast<f32>(bytes[begin + 1u]));
    let own = 4u * unit;
    let totals = vec4(of_weight[own].y, of_weight[own + 1u].y, of_weight[own + 2u].y, of_weight[own + 3u].y);
    let bits = vec4(of_weight[own].x, of_weight[own + 1u].x, of_weight[own + 2u].x, of_weight[own + 3u].x);
    sums -= zero * bitcast<vec4<i32>>(totals);
    let r_part = vec4<f32>(sums) * (bitcast<f32>(bytes[begin]) * bitcast<vec4<f32>>(bits));
    let a = x_part[((dims.step - dims.first) * dims.batch + row) * dims.hidden + unit] + r_part;
    let ifo = sigmoid3(a.xyw);
    let c_new = ifo.y * c[i] + ifo.x * tanh1(a.z);
    let h_new = ifo.z * tanh1(c_new);
    c[i] = c_new;
    h[i] = h_new;
    if Y {
        let step = select(dims.step, place.y - 1u - dims.step, dims.reverse != 0u);
        y[(place.x + step) * dims.width + dims.column + unit] = h_new;
    }
}
