// gather: frames by their numbers; those past the last of x are the others', counted on, or 0.
//
// Shapes  x, others: [..,C]; numbers: [M]; y: [M,C]
// Grid    elementwise, n = M*C
// Twin    src/ops/frames/gather.rs

override OTHERS: bool;

struct Dims { n: u32, c: u32, frames: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [frames,C]
@group(0) @binding(2) var<storage, read> others: array<f32>;   // [..,C], if OTHERS
@group(0) @binding(3) var<storage, read> numbers: array<u32>;  // [M]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [M,C]

fn element(i: u32) {
    let number = numbers[i / dims.c];
    let column = i % dims.c;
    var value = 0.0;
    if number < dims.frames {
        value = x[number * dims.c + column];
    } else if OTHERS {
        value = others[(number - dims.frames) * dims.c + column];
    }
    y[i] = value;
}
