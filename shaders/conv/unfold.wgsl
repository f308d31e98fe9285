// unfold: the frames under each window side by side, so that a convolution is a product; 0 for padding.
//
// Shapes  x: [B,T,C]; y: rows of [groups,size,C/groups], from output number `first` of [B,steps] on
// Grid    elementwise, n = the elements of y
// Twin    src/ops/conv/unfold.rs

struct Dims {
    n: u32, size: u32, stride: u32, dilation: u32, before: u32,
    t: u32, c: u32, steps: u32, groups: u32, first: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [B,T,C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows,groups,size,C/groups]

fn element(i: u32) {
    let width = dims.size * dims.c;
    let channels = dims.c / dims.groups;
    let row = dims.first + i / width;
    let at = i % width;
    let tap = at / channels % dims.size;
    let channel = at / (channels * dims.size) * channels + at % channels;
    // Counted from the first frame of padding.
    let t = row % dims.steps * dims.stride + tap * dims.dilation;
    var value = 0.0;
    if t >= dims.before && t - dims.before < dims.t {
        value = x[(row / dims.steps * dims.t + t - dims.before) * dims.c + channel];
    }
    y[i] = value;
}
