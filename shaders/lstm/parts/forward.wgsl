// What every schedule of the LSTM's forward pass shares: its bindings, and how a step of one
// unit ends. Bindings 1 and 4 are in lstm/parts/gates.wgsl, or lstm/parts/fused.wgsl; 3 and 8 are the schedule's:
// lstm/parts/history.wgsl, or lstm_persistent.
//
// Shapes  gates: [frames,H] of 4 (i,f,g,o): on entry W x + b, on exit, if SAVE, the activated
//         gates; r: [H,H] of 4: [from, to]; h_before, c_before: [frames,H], the state before
//         each step, h as R meets it, if SAVE; y: [B,T,..], or [frames,..] if dims.packed, if
//         dims.sequences; state: two of h at 0, c at c_offset, each [B,H], of which one is read, if
//         dims.initial, and one written; peepholes: [H] of vec4, if dims.peepholes

override SAVE: bool;

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(2) var<storage, read> r: array<Gates>;          // [H,H]: [from, to]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;      // [B,T,..]
@group(0) @binding(6) var<storage, read> rows: array<u32>;         // [B,3], if LENGTHS
@group(0) @binding(7) var<storage, read_write> state: array<f32>;  // 2 of [2,B,H] for each way

// Where h lies in a way's state that begins at `pair`; c is c_offset further on.
fn state_place(pair: u32, row: Row, unit: u32) -> u32 {
    return pair + way * 4u * dims.c_offset + row.at * dims.h + unit;
}

fn plain_initial_h(row: Row, unit: u32) -> f32 {
    if dims.initial == 0u || row.steps == 0u { return 0.0; }
    return state[state_place(dims.state_in, row, unit)];
}

// As R meets it.
fn initial_h(row: u32, unit: u32) -> f32 {
    let here = find_row(row);
    let h = plain_initial_h(here, unit);
    if VARIANT { return h * recurrent_scale(here, unit); }
    return h;
}

fn initial_c(row: u32, unit: u32) -> f32 {
    let here = find_row(row);
    if dims.initial == 0u || here.steps == 0u { return 0.0; }
    return state[state_place(dims.state_in, here, unit) + dims.c_offset];
}

// Ends a step of one unit of one row: a = W x + R h + b. Returns h, as R meets it, and c.
fn finish(row: u32, step: u32, unit: u32, a: vec4<f32>, h: f32, c: f32) -> vec2<f32> {
    let here = find_row(row);
    var next_state = vec2(h, c);
    if step < here.steps {
        let at = place(here, step, unit);
        if SAVE { keep_before(at, step, h, c); }
        if VARIANT {
            next_state = finish_variant(here, step, unit, a, h, c);
        } else {
            let cell = cell_forward(a, c, unit);
            if SAVE { keep_gates(at, cell.gates); }
            next_state = vec2(cell.h, cell.c);
            if dims.sequences != 0u { y[y_place(here, step, unit)] = cell.h; }
        }
    }
    return next_state;
}

// With what only lstm/cell/variant.wgsl has. The state goes to memory at each step: dropout may have
// zeroed the h that R met, so what may have to stay is kept apart.
fn finish_variant(row: Row, step: u32, unit: u32, a: vec4<f32>, h: f32, c: f32) -> vec2<f32> {
    let at = place(row, step, unit);
    let out = state_place(dims.state_out, row, unit);
    var old = vec2(h, c);
    if step == 0u { old.x = plain_initial_h(row, unit); } else { old.x = state[out]; }
    let cell = cell_forward(a, c, unit);
    if SAVE { keep_gates(at, cell.gates); }
    var next_state = vec2(cell.h, cell.c);
    // Without it nothing of the old state meets the new one, not even 0 times a NaN.
    if has_zoneout() { next_state = mix(next_state, old, zoneout(row, step, unit)); }
    if dims.sequences != 0u { y[y_place(row, step, unit)] = next_state.x; }
    state[out] = next_state.x;
    state[out + dims.c_offset] = next_state.y;
    next_state.x *= recurrent_scale(row, unit);
    return next_state;
}

// Ends the pass, unless each step did: h and c after the last step.
fn store_state(row: u32, unit: u32, h: f32, c: f32) {
    if VARIANT { return; }
    let here = find_row(row);
    if here.steps == 0u { return; }
    let out = state_place(dims.state_out, here, unit);
    state[out] = h;
    state[out + dims.c_offset] = c;
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
    var a = transpose(gates_by_row);
    if VARIANT {
        var all: State4;
        for (var j = 0u; j < rolled(4u); j++) {
            let e = finish(row + j, step, unit, a[j], h[j], c[j]);
            all.h[j] = e.x;
            all.c[j] = e.y;
        }
        return all;
    }
    let e0 = finish(row, step, unit, a[0], h.x, c.x);
    let e1 = finish(row + 1u, step, unit, a[1], h.y, c.y);
    let e2 = finish(row + 2u, step, unit, a[2], h.z, c.z);
    let e3 = finish(row + 3u, step, unit, a[3], h.w, c.w);
    return State4(vec4(e0.x, e1.x, e2.x, e3.x), vec4(e0.y, e1.y, e2.y, e3.y));
}

fn store_state4(row: u32, unit: u32, h: vec4<f32>, c: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) { store_state(row + j, unit, h[j], c[j]); }
}
