// pool_bwd: each frame's share of the gradient of the frame that was made of a row.
//
// Shapes  as in pool; d_y: [B,C], d_x: [B,T,C]. KIND 0 does not look at `found`.
// Grid    elementwise, n = B*T*C
// Twin    src/ops/frames/pool.rs

override KIND: u32;

struct Dims { n: u32, t: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;        // [B,C]
@group(0) @binding(2) var<storage, read> steps: array<u32>;      // common/steps.wgsl
@group(0) @binding(3) var<storage, read> found: array<f32>;      // [B,C]
@group(0) @binding(4) var<storage, read_write> d_x: array<f32>;  // [B,T,C]

fn element(i: u32) {
    let t = i / dims.c % dims.t;
    let row = i / dims.c / dims.t;
    let at = row * dims.c + i % dims.c;
    var d = 0.0;
    if counts(row, t, dims.t) {
        switch KIND {
            case 0u: { d = d_y[at]; }
            case 1u: { d = d_y[at] / found[at]; }
            default: { if u32(found[at]) == t { d = d_y[at]; } }
        }
    }
    d_x[i] = d;
}
