// reflect: a sequence with frames before and after it that are its mirror images, without the frame at the end.
//
// Shapes  x: [B,T,C], y: [B,before+T+after,C]; before and after are less than T
// Grid    elementwise, n = the elements of y
// Twin    src/ops/conv/reflect.rs

struct Dims { n: u32, t: u32, c: u32, before: u32, all: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [B,T,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [B,all,C]

fn element(i: u32) {
    var t = abs(i32(i / dims.c % dims.all) - i32(dims.before));
    t = i32(dims.t) - 1 - abs(i32(dims.t) - 1 - t);
    y[i] = x[(i / dims.c / dims.all * dims.t + u32(t)) * dims.c + i % dims.c];
}
