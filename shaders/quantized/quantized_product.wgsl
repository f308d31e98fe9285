// quantized_product: y = W x (+ b) of bytes, whose sums are integers.
//
//   y = scale_x scale_w (sum x w - zero_x sum w) + b
//
// Shapes  x: [M,2 + words], as quantize_rows writes it; weight: [words,N]; of_weight: [N] of scale and sum w;
//         bias: [N]; y: [M,N]
// Grid    elementwise, n = M*N
// Twin    src/ops/quantized/product.rs

override BIAS: bool;

struct Dims { n: u32, outputs: u32, words: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<u32>;                // [M,2 + words]
@group(0) @binding(2) var<storage, read> weight: array<u32>;           // [words,N]
@group(0) @binding(3) var<storage, read> of_weight: array<vec2<u32>>;  // [N], the scale by its bits
@group(0) @binding(4) var<storage, read> bias: array<f32>;             // [N], if BIAS
@group(0) @binding(5) var<storage, read_write> y: array<f32>;          // [M,N]

fn element(i: u32) {
    let output = i % dims.outputs;
    let row = i / dims.outputs * (dims.words + 2u);
    var sum = 0;
    for (var w = 0u; w < dims.words; w++) {
        sum += dot4I8Packed(x[row + 2u + w], weight[w * dims.outputs + output]);
    }
    let own = of_weight[output];
    sum -= i32(bitcast<f32>(x[row + 1u])) * bitcast<i32>(own.y);
    var value = f32(sum) * (bitcast<f32>(x[row]) * bitcast<f32>(own.x));
    if BIAS { value += bias[output]; }
    y[i] = value;
}
