// apply_mask: y = x where the mask says so, 0 elsewhere: what is left out may be anything, also NaN.
//
// Shapes  x, y: [frames,C]; mask: [frames]
// Grid    elementwise, n = frames*C
// Twin    src/ops/frames/apply_mask.rs

struct Dims { n: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [frames,C]
@group(0) @binding(2) var<storage, read> mask: array<u32>;     // [frames]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [frames,C]

fn element(i: u32) {
    if mask[i / dims.c] != 0u { y[i] = x[i]; } else { y[i] = 0.0; }
}
