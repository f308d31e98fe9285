// dropout: y = x / (1 - rate), or 0 with the probability `rate`.
//
// Shapes  x, y: [N], in blocks that share a mask of C columns
// Grid    elementwise, n = N
// Twin    src/ops/elementwise/dropout.rs
// Source  Srivastava et al. 2014; the same mask at every step: Gal & Ghahramani 2016

struct Dims { n: u32, c: u32, block: u32, rate: f32, key0: u32, key1: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) {
    let at = i / dims.block * dims.c + i % dims.c;
    let random = unit_floats(threefry(vec2(dims.key0, dims.key1), vec2(at, 2u)));
    if random.x < dims.rate { y[i] = 0.0; } else { y[i] = x[i] / (1.0 - dims.rate); }
}
