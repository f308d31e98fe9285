// lstm_sequence_bwd_wide: as lstm_sequence_bwd, for software adapters: each load, of R^T and of
// d_a, serves as much as it can, since there a load costs more than what it is used for.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  common/lstm_backward.wgsl
// Grid    ceil(b/8), 1, 1: a workgroup takes 8 rows through all steps, an invocation 4 units that
//         are WG apart; d_a in shared memory, d_c in registers
// Parts   common/activations, cell/lstm, common/lstm_backward    Twin  src/ops/lstm/cpu.rs

override WG: u32;  // invocations, at least H/4
override H: u32;

var<workgroup> d_a_low: array<mat4x4<f32>, H>;   // [H][4 gates] of rows 0 to 3
var<workgroup> d_a_high: array<mat4x4<f32>, H>;  // of rows 4 to 7

// What unit u of the step behind adds to d_h of 8 rows.
fn multiply(
    low: ptr<function, vec4<f32>>, high: ptr<function, vec4<f32>>,
    a_low: mat4x4<f32>, a_high: mat4x4<f32>,
    u: u32, unit: u32,
) {
    let w = rt[u * H + min(unit, H - 1u)];
    *low += a_low * w;
    *high += a_high * w;
}

// One step of 8 rows of a unit.
fn undo(
    low: ptr<function, vec4<f32>>, high: ptr<function, vec4<f32>>,
    c_low: ptr<function, vec4<f32>>, c_high: ptr<function, vec4<f32>>,
    row: u32, step: u32, unit: u32,
) {
    if unit >= H { return; }
    let e = differentiate4(row, step, unit, *low, *c_low);
    d_a_low[unit] = e.d_a;
    *c_low = e.d_c;
    let f = differentiate4(row + 4u, step, unit, *high, *c_high);
    d_a_high[unit] = f.d_a;
    *c_high = f.d_c;
}

fn first_d_c(row: u32, unit: u32) -> vec4<f32> {
    if unit >= H { return vec4(0.0); }
    return d_c_after(row, unit);
}

fn last_d_c(row: u32, unit: u32, low: vec4<f32>, high: vec4<f32>) {
    if unit >= H { return; }
    store_d_c(row, unit, low);
    store_d_c(row + 4u, unit, high);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x * 8u;
    let unit0 = lane;
    let unit1 = lane + WG;
    let unit2 = lane + 2u * WG;
    let unit3 = lane + 3u * WG;
    var c0 = first_d_c(row, unit0);
    var c1 = first_d_c(row, unit1);
    var c2 = first_d_c(row, unit2);
    var c3 = first_d_c(row, unit3);
    var c4 = first_d_c(row + 4u, unit0);
    var c5 = first_d_c(row + 4u, unit1);
    var c6 = first_d_c(row + 4u, unit2);
    var c7 = first_d_c(row + 4u, unit3);
    for (var back = 0u; back < dims.t; back++) {
        let step = dims.t - 1u - back;
        var h0 = vec4(0.0);
        var h1 = vec4(0.0);
        var h2 = vec4(0.0);
        var h3 = vec4(0.0);
        var h4 = vec4(0.0);
        var h5 = vec4(0.0);
        var h6 = vec4(0.0);
        var h7 = vec4(0.0);
        if back > 0u {
            for (var u = 0u; u < H; u++) {
                let low = d_a_low[u];
                let high = d_a_high[u];
                multiply(&h0, &h4, low, high, u, unit0);
                multiply(&h1, &h5, low, high, u, unit1);
                multiply(&h2, &h6, low, high, u, unit2);
                multiply(&h3, &h7, low, high, u, unit3);
            }
        }
        workgroupBarrier();
        undo(&h0, &h4, &c0, &c4, row, step, unit0);
        undo(&h1, &h5, &c1, &c5, row, step, unit1);
        undo(&h2, &h6, &c2, &c6, row, step, unit2);
        undo(&h3, &h7, &c3, &c7, row, step, unit3);
        workgroupBarrier();
    }
    last_d_c(row, unit0, c0, c4);
    last_d_c(row, unit1, c1, c5);
    last_d_c(row, unit2, c2, c6);
    last_d_c(row, unit3, c3, c7);
}
