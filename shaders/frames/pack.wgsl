// pack: the frames of rows of different lengths without their padding; UNPACK: back, zeros there.
//
// Shapes  padded [B,T,C], packed [frames,C]: x is the one, y the other; rows: [B,3]: row, length,
//         first frame
// Grid    elementwise, n = B*T*C
// Twin    src/ops/frames/pack.rs

override UNPACK: bool;

struct Dims { n: u32, timesteps: u32, c: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [B,T,C] or [frames,C]
@group(0) @binding(2) var<storage, read> rows: array<u32>;     // [B,3]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [frames,C] or [B,T,C]

fn element(i: u32) {
    let column = i % dims.c;
    let step = i / dims.c % dims.timesteps;
    let entry = 3u * (i / (dims.c * dims.timesteps));
    let inside = (rows[entry + 2u] + step) * dims.c + column;
    let outside = (rows[entry] * dims.timesteps + step) * dims.c + column;
    let padding = step >= rows[entry + 1u];
    if UNPACK {
        if padding { y[outside] = 0.0; } else { y[outside] = x[inside]; }
    } else {
        if !padding { y[inside] = x[outside]; }
    }
}
