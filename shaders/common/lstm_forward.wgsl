// What every schedule of the LSTM's forward pass shares: its bindings, where a step's values
// lie, and how a step of one unit ends.
//
// Shapes  gates: [b,t,H] of vec4 (i,f,g,o): on entry W x + b, on exit, if SAVE, the activated
//         gates; r: [H,H] of vec4: [from, to]; h_before, c_before: [b,t,H], the state before
//         each step, if SAVE; y: [B,T,H], if SEQUENCES; lengths: [B], if LENGTHS;
//         state_in, state_out: h at 0, c at c_offset, each [B,H]; without INITIAL state_in is 0
//
// A chunk is `b` rows from `first_row` and `t` steps from `first_step`: gates, h_before and
// c_before hold the chunk alone; y, lengths and the states hold the whole batch.

override SAVE: bool;
override SEQUENCES: bool;
override LENGTHS: bool;
override INITIAL: bool;

struct Dims {
    b: u32, t: u32, h: u32,
    first_row: u32, first_step: u32,
    timesteps: u32,
    c_offset: u32,
    step: u32,  // of the chunk, in lstm_stepwise
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> gates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> r: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> h_before: array<f32>;
@group(0) @binding(4) var<storage, read_write> c_before: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read> lengths: array<u32>;
@group(0) @binding(7) var<storage, read> state_in: array<f32>;
@group(0) @binding(8) var<storage, read_write> state_out: array<f32>;

// Where [row, step, unit] of the chunk lies.
fn place(row: u32, step: u32, unit: u32) -> u32 {
    return (row * dims.t + step) * dims.h + unit;
}

fn state_place(row: u32, unit: u32) -> u32 {
    return (dims.first_row + row) * dims.h + unit;
}

fn initial_h(row: u32, unit: u32) -> f32 {
    if !INITIAL || row >= dims.b { return 0.0; }
    return state_in[state_place(row, unit)];
}

fn initial_c(row: u32, unit: u32) -> f32 {
    if !INITIAL || row >= dims.b { return 0.0; }
    return state_in[dims.c_offset + state_place(row, unit)];
}

// W x + b; rows past the batch's end get zeros.
fn x_part(row: u32, step: u32, unit: u32) -> vec4<f32> {
    if row >= dims.b { return vec4(0.0); }
    return gates[place(row, step, unit)];
}

// Ends a step of one unit of one row: a = W x + R h + b. Returns h and c after it.
fn finish(row: u32, step: u32, unit: u32, a: vec4<f32>, h: f32, c: f32) -> vec2<f32> {
    if row >= dims.b { return vec2(0.0); }
    let at = place(row, step, unit);
    let global_row = dims.first_row + row;
    let global_step = dims.first_step + step;
    let out = (global_row * dims.timesteps + global_step) * dims.h + unit;
    if SAVE {
        h_before[at] = h;
        c_before[at] = c;
    }
    if LENGTHS {
        if global_step >= lengths[global_row] {
            // Past the row's end: the state stays, the output is zero.
            if SEQUENCES { y[out] = 0.0; }
            if SAVE { gates[at] = vec4(0.0); }
            return vec2(h, c);
        }
    }
    let cell = cell_forward(a, c);
    if SAVE { gates[at] = cell.gates; }
    if SEQUENCES { y[out] = cell.h; }
    return vec2(cell.h, cell.c);
}

fn store_state(row: u32, unit: u32, h: f32, c: f32) {
    if row >= dims.b { return; }
    state_out[state_place(row, unit)] = h;
    state_out[dims.c_offset + state_place(row, unit)] = c;
}

// The same for 4 rows from `row` on.

// By gates: column g is gate g of the rows.
fn x_part4(row: u32, step: u32, unit: u32) -> mat4x4<f32> {
    return transpose(mat4x4(
        x_part(row, step, unit), x_part(row + 1u, step, unit),
        x_part(row + 2u, step, unit), x_part(row + 3u, step, unit),
    ));
}

struct State4 { h: vec4<f32>, c: vec4<f32> }

fn finish4(row: u32, step: u32, unit: u32, gates_by_row: mat4x4<f32>, h: vec4<f32>, c: vec4<f32>) -> State4 {
    let a = transpose(gates_by_row);
    let e0 = finish(row, step, unit, a[0], h.x, c.x);
    let e1 = finish(row + 1u, step, unit, a[1], h.y, c.y);
    let e2 = finish(row + 2u, step, unit, a[2], h.z, c.z);
    let e3 = finish(row + 3u, step, unit, a[3], h.w, c.w);
    return State4(vec4(e0.x, e1.x, e2.x, e3.x), vec4(e0.y, e1.y, e2.y, e3.y));
}

fn store_state4(row: u32, unit: u32, h: vec4<f32>, c: vec4<f32>) {
    store_state(row, unit, h.x, c.x);
    store_state(row + 1u, unit, h.y, c.y);
    store_state(row + 2u, unit, h.z, c.z);
    store_state(row + 3u, unit, h.w, c.w);
}
