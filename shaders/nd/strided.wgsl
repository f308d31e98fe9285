// strided: y[..] = x[..], each at the places that its strides lead to.
//
// Shapes  x, y: as dims has their strides
// Grid    elementwise, n = the numbers that are copied
// Twin    src/ops/nd/strided.rs

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    let at = places(i);
    y[at.y] = x[at.x];
}
