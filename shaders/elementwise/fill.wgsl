// fill: y = value.
//
// Shapes  y: [N]
// Grid    elementwise, n = N: ceil(N/256) workgroups, so that an invocation writes four words
// Twin    src/device/fill.rs

struct Dims { n: u32, value: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [N], as bits: a NaN stays as it is

fn element(i: u32) { y[i] = dims.value; }
