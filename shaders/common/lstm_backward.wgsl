// What every schedule of the LSTM's backward pass shares: its bindings, where a step's values
// lie, and how a step of one unit is differentiated.
//
// Shapes  gates: [b,t,H] of vec4: on entry the activated gates, on exit d_a, the gradients of
//         W x + R h + b; rt: [H,H] of vec4: [to, from], R transposed; c_before: [b,t,H];
//         d_y: [B,T,H], if SEQUENCES; lengths: [B], if LENGTHS; d_state: d_h at 0, d_c at
//         c_offset, each [B,H]: on entry of the state after the chunk; on exit d_c of the state
//         before it, and d_h as far as R is not involved (a GEMM adds the rest)
//
// A chunk is as in lstm_forward.wgsl.

override SEQUENCES: bool;
override LENGTHS: bool;

struct Dims {
    b: u32, t: u32, h: u32,
    first_row: u32, first_step: u32,
    timesteps: u32,
    c_offset: u32,
    step: u32,  // of the chunk, in lstm_stepwise_bwd
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rt: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> c_before: array<f32>;
@group(0) @binding(4) var<storage, read> d_y: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;
@group(0) @binding(6) var<storage, read_write> d_state: array<f32>;

fn place(row: u32, step: u32, unit: u32) -> u32 {
    return (row * dims.t + step) * dims.h + unit;
}

fn state_place(row: u32, unit: u32) -> u32 {
    return (dims.first_row + row) * dims.h + unit;
}

// The steps of the chunk that this row takes part in.
fn steps_of(row: u32) -> u32 {
    if row >= dims.b { return 0u; }
    if LENGTHS {
        let length = lengths[dims.first_row + row];
        return clamp(length, dims.first_step, dims.first_step + dims.t) - dims.first_step;
    }
    return dims.t;
}

struct Carry { d_a: vec4<f32>, d_c: f32 }

// One step of one unit of one row: d_h_rec = d_a[t+1] R^T, d_c of the state after the step.
// Writes d_a; returns it and d_c of the state before the step.
fn differentiate(row: u32, step: u32, unit: u32, d_h_rec: f32, d_c_after: f32) -> Carry {
    if row >= dims.b { return Carry(vec4(0.0), 0.0); }
    let at = place(row, step, unit);
    let steps = steps_of(row);
    if step >= steps {
        gates[at] = vec4(0.0);
        return Carry(vec4(0.0), d_c_after);
    }
    var d_h = d_h_rec;
    if SEQUENCES {
        let global = (dims.first_row + row) * dims.timesteps + dims.first_step + step;
        d_h += d_y[global * dims.h + unit];
    }
    if step + 1u == steps {
        let state = state_place(row, unit);
        d_h += d_state[state];
        d_state[state] = 0.0;
    }
    let back = cell_backward(gates[at], c_before[at], d_h, d_c_after);
    gates[at] = back.d_a;
    return Carry(back.d_a, back.d_c_prev);
}

// The same for 4 rows from `row` on.

fn d_c_after(row: u32, unit: u32) -> vec4<f32> {
    var d_c = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
        if row + j < dims.b { d_c[j] = d_state[dims.c_offset + state_place(row + j, unit)]; }
    }
    return d_c;
}

fn store_d_c(row: u32, unit: u32, d_c: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if row + j < dims.b { d_state[dims.c_offset + state_place(row + j, unit)] = d_c[j]; }
    }
}

// d_a by gates: column g is gate g of the rows.
struct Carry4 { d_a: mat4x4<f32>, d_c: vec4<f32> }

fn differentiate4(row: u32, step: u32, unit: u32, d_h: vec4<f32>, d_c: vec4<f32>) -> Carry4 {
    let e0 = differentiate(row, step, unit, d_h.x, d_c.x);
    let e1 = differentiate(row + 1u, step, unit, d_h.y, d_c.y);
    let e2 = differentiate(row + 2u, step, unit, d_h.z, d_c.z);
    let e3 = differentiate(row + 3u, step, unit, d_h.w, d_c.w);
    let d_a = transpose(mat4x4(e0.d_a, e1.d_a, e2.d_a, e3.d_a));
    return Carry4(d_a, vec4(e0.d_c, e1.d_c, e2.d_c, e3.d_c));
}
