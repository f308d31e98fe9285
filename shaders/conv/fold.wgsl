// fold: the gradient of what unfold has taken, added to that of x: to each frame what comes from the windows
// that lie on it, in the order of their taps.
//
// Shapes  d_y: rows of [groups,size,C/groups], from output number `first` of [B,steps] on; d_x: [B,T,C]
// Grid    elementwise, n = B*T*C
// Twin    src/ops/conv/unfold.rs

struct Dims {
    n: u32, size: u32, stride: u32, dilation: u32, before: u32,
    t: u32, c: u32, steps: u32, groups: u32, first: u32, rows: u32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> d_y: array<f32>;        // [rows,groups,size,C/groups]
@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;  // [B,T,C]

fn element(i: u32) {
    let channels = dims.c / dims.groups;
    let channel = i % dims.c;
    let t = i / dims.c % dims.t + dims.before;
    let row = i / dims.c / dims.t * dims.steps;
    let group = channel / channels * dims.size;
    var sum = d_x[i];
    for (var tap = 0u; tap < dims.size; tap++) {
        if tap * dims.dilation > t { break; }
        let at = t - tap * dims.dilation;
        let output = at / dims.stride;
        let place = row + output;
        if at % dims.stride == 0u && output < dims.steps && place >= dims.first
            && place - dims.first < dims.rows {
            let column = (group + tap) * channels + channel % channels;
            sum += d_y[(place - dims.first) * dims.size * dims.c + column];
        }
    }
    d_x[i] = sum;
}
