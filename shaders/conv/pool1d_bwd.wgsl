// pool1d_bwd: each frame's share of the gradient of the outputs whose windows lie on it.
//
// Shapes  as in pool1d; d_y: [B,steps,C], d_x: [B,T,C]
// Grid    elementwise, n = B*T*C
// Twin    src/ops/conv/pool1d.rs

override KIND: u32;

struct Dims {
    n: u32, size: u32, stride: u32, dilation: u32, before: u32, t: u32, c: u32, steps: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;        // [B,steps,C]
@group(0) @binding(2) var<storage, read> steps: array<u32>;      // common/steps.wgsl
@group(0) @binding(3) var<storage, read> found: array<f32>;      // [B,steps,C]
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;  // [B,T,C]

fn element(i: u32) {
    let t = i / dims.c % dims.t;
    let row = i / dims.c / dims.t;
    var d = 0.0;
    if counts(row, t, dims.t) {
        for (var tap = 0u; tap < dims.size; tap++) {
            if tap * dims.dilation > t + dims.before { break; }
            let at = t + dims.before - tap * dims.dilation;
            let output = at / dims.stride;
            if at % dims.stride == 0u && output < dims.steps {
                let place = (row * dims.steps + output) * dims.c + i % dims.c;
                if KIND < 2u { d += d_y[place] / found[place]; }
                if KIND == 2u && u32(found[place]) == tap { d += d_y[place]; }
            }
        }
    }
    d_x[i] = d;
}
