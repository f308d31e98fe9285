// What every schedule of the LSTM's backward pass shares: its bindings, and how a step of one
// unit is differentiated. Bindings 7 and 8 are the schedule's: lstm/parts/in_place.wgsl, or
// lstm_persistent_bwd.
//
// Shapes  gates: [frames,H] of 4: on entry the activated gates, on exit d_a, the gradients of
//         W x + R h + b; rt: [H,H] of 4: [to, from], R transposed; c_before: [frames,H];
//         d_y: [B,T,..], or [frames,..] if dims.packed, if dims.sequences;
//         d_state: d_h at 0, d_c at c_offset, each [B,H]: on entry of
//         the state after the chunk, on exit of the state before it, d_h only if dims.before;
//         peepholes: [H] of vec4; d_peepholes: [B,H] of vec4, a way's c_offset behind the one's before,
//         added to, both if dims.peepholes

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> gates: array<Gates>;  // [frames,H]
@group(0) @binding(2) var<storage, read> rt: array<Gates>;           // [H,H]: [to, from]
@group(0) @binding(3) var<storage, read> c_before: array<f32>;       // [frames,H]
@group(0) @binding(4) var<storage, read> d_y: array<f32>;            // [B,T,..]
@group(0) @binding(5) var<storage, read> rows: array<u32>;           // [B,3], if LENGTHS
@group(0) @binding(6) var<storage, read_write> d_state: array<f32>;  // [2,B,H] for each way

// Where d_h of a way's state lies.
fn d_h_place(row: Row, unit: u32) -> u32 {
    return way * 2u * dims.c_offset + row.at * dims.h + unit;
}

fn d_c_place(row: Row, unit: u32) -> u32 {
    return d_h_place(row, unit) + dims.c_offset;
}

struct Carry { d_a: vec4<f32>, d_c: f32 }

// What a step of one unit of one row needs besides what reaches it: its gates, its c before, d_y.
struct Loaded { gates: vec4<f32>, c_before: f32, from_y: f32 }

fn load_step(row: u32, step: u32, unit: u32) -> Loaded {
    let here = find_row(row);
    var loaded = Loaded(vec4(0.0), 0.0, 0.0);
    if step < here.steps {
        let at = place(here, step, unit);
        // Without sequences the load is of any word.
        let with_y = dims.sequences != 0u;
        loaded.from_y = select(0.0, d_y[select(0u, y_place(here, step, unit), with_y)], with_y);
        loaded.gates = vec4<f32>(gates[at]);
        loaded.c_before = c_before[at];
    }
    return loaded;
}

// One step of one unit of one row: d_h_rec = d_a[t+1] R^T, d_c of the state after the step.
// Writes d_a; returns it and d_c of the state before the step.
fn differentiate(row: u32, step: u32, unit: u32, d_h_rec: f32, d_c_after: f32) -> Carry {
    return differentiate_loaded(row, step, unit, d_h_rec, d_c_after, load_step(row, step, unit));
}

fn differentiate_loaded(row: u32, step: u32, unit: u32, d_h_rec: f32, d_c_after: f32, loaded: Loaded) -> Carry {
    let here = find_row(row);
    var carry = Carry(vec4(0.0), d_c_after);
    if step < here.steps {
        let at = place(here, step, unit);
        let state = d_h_place(here, unit);
        if VARIANT {
            // The end does not lead through R, whose product with a d_a of 0 may be NaN.
            let by_r = d_h_rec * recurrent_scale(here, unit);
            let d_h = select(by_r, 0.0, step + 1u == here.steps) + loaded.from_y + d_state[state];
            carry = differentiate_variant(here, step, unit, d_h, d_c_after);
        } else {
            let d_h = select(d_h_rec, d_state[state], step + 1u == here.steps) + loaded.from_y;
            let back = cell_backward(loaded.gates, loaded.c_before, d_h, d_c_after, unit);
            keep_d_a(at, back.d_a);
            carry = Carry(back.d_a, back.d_c_prev);
        }
    }
    return carry;
}

// With what only lstm/cell/variant.wgsl has. d_state is what reaches the step before other than by R.
fn differentiate_variant(row: Row, step: u32, unit: u32, d_h: f32, d_c_after: f32) -> Carry {
    let at = place(row, step, unit);
    let state = d_h_place(row, unit);
    var stays = vec2(0.0);
    if has_zoneout() { stays = vec2(d_h, d_c_after) * zoneout(row, step, unit); }
    d_state[state] = stays.x;
    let back = cell_backward(vec4<f32>(gates[at]), c_before[at], d_h - stays.x, d_c_after - stays.y, unit);
    keep_d_a(at, back.d_a);
    if dims.peepholes != 0u { add_d_peepholes(state - way * dims.c_offset, back.d_peepholes); }
    return Carry(back.d_a, back.d_c_prev + stays.y);
}

// d_h of the state before the first step.
fn end_d_h(row: u32, unit: u32, d_h_rec: f32) {
    let here = find_row(row);
    if here.steps == 0u { return; }
    let state = d_h_place(here, unit);
    if VARIANT {
        d_state[state] += d_h_rec * recurrent_scale(here, unit);
    } else {
        d_state[state] = d_h_rec;
    }
}
