// What both passes of the layer-normalised LSTM share: a workgroup takes a row through all steps.

override WG: u32;  // a power of two
override LENGTHS: bool;

struct Dims {
    b: u32, t: u32, h: u32,
    y_stride: u32, y_first: u32,  // words from frame to frame, first column
    sequences: u32,               // whether there is a y
    reverse: u32,
    save: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(3) var<storage, read> norms: array<f32>;  // [6H]

var<workgroup> scratch: array<vec2<f32>, WG>;

// Two sums over the workgroup, in a fixed order.
fn sums_of(lane: u32, value: vec2<f32>) -> vec2<f32> {
    scratch[lane] = value;
    workgroupBarrier();
    for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
        if lane < stride { scratch[lane] += scratch[lane + stride]; }
        workgroupBarrier();
    }
    let result = scratch[0];
    workgroupBarrier();
    return result;
}

// The frame of a row's step.
fn frame_of(row: u32, step: u32, steps: u32) -> u32 {
    return row * dims.t + select(step, steps - 1u - step, dims.reverse != 0u);
}

// Words that the forward pass keeps of a frame: h and c before it, and the means and roots of
// R h and of c.
fn kept(frame: u32) -> u32 { return frame * (2u * dims.h + 4u); }

// The gains of a unit's four parts of R h.
fn gain_of(unit: u32) -> vec4<f32> {
    let at = 4u * unit;
    return vec4(norms[at], norms[at + 1u], norms[at + 2u], norms[at + 3u]);
}
