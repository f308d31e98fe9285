// ternary: y = a ? b : c or, with MULTIPLY_ADD, y = a b + c, with the shapes broadcast by strides.
//
// Shapes  y: [N]; a, b, c: as dims has their strides
// Grid    elementwise, n = N
// Twin    src/ops/nd/ternary.rs

override MULTIPLY_ADD: bool;

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [N]

fn element(i: u32) {
    let at = places(i);
    let p = a[at.x];
    if MULTIPLY_ADD {
        y[i] = keep_nan(p, fma(p, b[at.y], c[at.z]));
    } else if is_nan(p) || p != 0.0 {
        y[i] = b[at.y];
    } else {
        y[i] = c[at.z];
    }
}
