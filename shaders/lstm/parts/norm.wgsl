// What all kernels of the layer-normalised LSTM share: the sizes, where things lie, what a unit computes,
// and sums over a workgroup.
//
// What a backward pass needs lies step by step: [T,B,..], so that a product takes all rows of a step.
// Rows: what a workgroup computes at a time: f32 of one row, or vec4<f32> of four; named by the host

override WG: u32;    // invocations, a power of two
override WORK: u32;  // 4 WG

struct Dims {
    b: u32, t: u32, h: u32,
    y_stride: u32, y_first: u32,  // words from frame to frame, first column
    sequences: u32,               // whether there is a y
    reverse: u32,
    ragged: u32,                  // whether rows differ in length
    save: u32,                    // whether a backward pass will follow
    begin: u32, end: u32,         // the steps of this dispatch
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> gates: array<vec4<f32>>;  // [B,T,H]
@group(0) @binding(3) var<storage, read> norms: array<f32>;              // [6H]
@group(0) @binding(4) var<storage, read> rows: array<u32>;               // [B,3], the longest first

var<workgroup> work: array<Rows, WORK>;  // [4][WG]

// A row and its steps, which are 0 past the last row.
fn row_of(slot: u32) -> vec2<u32> {
    if slot >= dims.b { return vec2(0u); }
    if dims.ragged != 0u { return vec2(rows[3u * slot], rows[3u * slot + 1u]); }
    return vec2(slot, dims.t);
}

// The frame of a row's step, in [B,T].
fn frame_of(row: vec2<u32>, step: u32) -> u32 {
    return row.x * dims.t + select(step, row.y - 1u - step, dims.reverse != 0u);
}

// The same in what is kept, [T,B]. Without a backward pass there is room for one step.
fn kept_of(row: vec2<u32>, step: u32) -> u32 {
    return select(0u, step * dims.b, dims.save != 0u) + row.x;
}

// Words that are kept of a frame: h and c before it, and the means and roots of R h and of c.
fn before_of(kept: u32) -> u32 { return kept * (2u * dims.h + 4u); }

fn y_of(frame: u32) -> u32 { return frame * dims.y_stride + dims.y_first; }

// The gains of a unit's four parts of R h.
fn gain_of(unit: u32) -> vec4<f32> {
    let at = 4u * unit;
    return vec4(norms[at], norms[at + 1u], norms[at + 2u], norms[at + 3u]);
}

// The gain and the shift of a unit's c.
fn cell_gain_of(unit: u32) -> vec2<f32> {
    return vec2(norms[4u * dims.h + unit], norms[5u * dims.h + unit]);
}

struct Cell { gates: vec4<f32>, c: f32 }

// a = x_part + norm(R h).
fn cell_forward(a: vec4<f32>, c: f32) -> Cell {
    let ifo = sigmoid3(a.xyw);
    let g = tanh1(a.z);
    return Cell(vec4(ifo.xy, g, ifo.z), ifo.y * c + ifo.x * g);
}

// d_a, from the activated gates, c before, d_c of c', and the gradient of h' with the tanh in it.
fn cell_backward(gate: vec4<f32>, c: f32, d_c: f32, d_h: f32, tanh_c: f32) -> vec4<f32> {
    return vec4(d_c * gate.z, d_c * c, d_c * gate.x, d_h * tanh_c)
        * select(gate * (1.0 - gate), 1.0 - gate * gate, vec4(false, false, true, false));
}

// How many of the units an invocation has, if each takes one in `apart`.
fn units_of(lane: u32, apart: u32) -> f32 { return f32((dims.h + apart - 1u - lane) / apart); }

// Invocations that first add up what those have that are so far apart: two rounds cost fewer barriers
// than one for each halving.
fn span() -> u32 { return min(WG / 2u, 16u); }

struct Moments { mean: Rows, root: Rows }

// The mean over all units, and one over the root of the variance. A unit has `each` values; an invocation
// knows the mean of its units' and their squares' sum about it, and those two are joined: squares about
// anything else may cancel each other. Leaves the first quarter of `work` alone.
fn moments_of(lane: u32, each: f32, mean: Rows, squares: Rows) -> Moments {
    work[WG + lane] = mean;
    work[2u * WG + lane] = squares;
    workgroupBarrier();
    let apart = span();
    if lane < apart {
        var sum = Rows();
        for (var i = lane; i < WG; i += apart) { sum += units_of(i, WG) * work[WG + i]; }
        let middle = sum / max(units_of(lane, apart), 1.0);
        var all = Rows();
        for (var i = lane; i < WG; i += apart) {
            let d = work[WG + i] - middle;
            all += work[2u * WG + i] + each * units_of(i, WG) * d * d;
        }
        work[3u * WG + lane] = middle;
        work[3u * WG + apart + lane] = all;
    }
    workgroupBarrier();
    let n = f32(dims.h);
    var sum = Rows();
    for (var i = 0u; i < apart; i++) { sum += units_of(i, apart) * work[3u * WG + i]; }
    let middle = sum / n;
    var all = Rows();
    for (var i = 0u; i < apart; i++) {
        let d = work[3u * WG + i] - middle;
        all += work[3u * WG + apart + i] + each * units_of(i, apart) * d * d;
    }
    return Moments(middle, 1.0 / sqrt(all / (each * n) + dims.epsilon));
}

struct Sums { a: Rows, b: Rows }

// Two sums over all invocations.
fn sums_of(lane: u32, a: Rows, b: Rows) -> Sums {
    work[lane] = a;
    work[WG + lane] = b;
    workgroupBarrier();
    let apart = span();
    if lane < apart {
        var sums = Sums(a, b);
        for (var i = lane + apart; i < WG; i += apart) {
            sums = Sums(sums.a + work[i], sums.b + work[WG + i]);
        }
        work[2u * WG + lane] = sums.a;
        work[3u * WG + lane] = sums.b;
    }
    workgroupBarrier();
    var sums = Sums(work[2u * WG], work[3u * WG]);
    for (var i = 1u; i < apart; i++) {
        sums = Sums(sums.a + work[2u * WG + i], sums.b + work[3u * WG + i]);
    }
    return sums;
}
