// half: y = x in 16-bit floats, two to a word. What is too large becomes infinite.
//
// Shapes  x: [N]; y: [ceil(N/2)] of two
// Grid    elementwise, n = ceil(N/2): a word; if N is odd, the last one's second half is 0
// Twin    src/ops/elementwise/half.rs
// Needs   f16

struct Dims { n: u32, numbers: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [N]
@group(0) @binding(2) var<storage, read_write> y: array<vec2<f16>>;  // [ceil(N/2)]

fn element(word: u32) {
    let i = 2u * word;
    var pair = vec2(f16(x[i]), f16(0.0));
    if i + 1u < dims.numbers { pair.y = f16(x[i + 1u]); }
    y[word] = pair;
}
