// reflect_bwd: the gradient of a frame and of its mirror images.
//
// Shapes  as in reflect; d_y: [B,all,C], d_x: [B,T,C]
// Grid    elementwise, n = B*T*C
// Twin    src/ops/conv/reflect.rs

struct Dims { n: u32, t: u32, c: u32, before: u32, all: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;        // [B,all,C]
@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;  // [B,T,C]

fn element(i: u32) {
    let t = i / dims.c % dims.t;
    let row = i / dims.c / dims.t * dims.all;
    let column = i % dims.c;
    var sum = d_y[(row + dims.before + t) * dims.c + column];
    if t > 0u && t <= dims.before { sum += d_y[(row + dims.before - t) * dims.c + column]; }
    // The mirror image behind the last frame.
    let behind = dims.before + 2u * (dims.t - 1u) - t;
    if t + 1u < dims.t && behind < dims.all { sum += d_y[(row + behind) * dims.c + column]; }
    d_x[i] = sum;
}
