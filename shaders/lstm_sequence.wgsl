// lstm_sequence: all timesteps of an LSTM layer in one dispatch.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  common/lstm_forward.wgsl
// Grid    ceil(b / ROWS), 1, 1: a workgroup takes 4 or (WIDE) 8 rows through all steps, an
//         invocation one unit; h in shared memory, twice, so that a step costs one barrier;
//         c in registers; R from the cache
// Parts   common/activations, cell/lstm, common/lstm_forward    Twin  src/ops/lstm/cpu.rs

override WG: u32;    // invocations, at least H
override H: u32;
override WIDE: bool;
override STATE_A: u32;  // 2 H
override STATE_B: u32;  // 2 H if WIDE, else 1

var<workgroup> h_a: array<vec4<f32>, STATE_A>;  // [2][H] of rows 0 to 3
var<workgroup> h_b: array<vec4<f32>, STATE_B>;  // [2][H] of rows 4 to 7

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) unit: u32,
) {
    let row = group.x * select(4u, 8u, WIDE);
    var c_a = vec4(0.0);
    var c_b = vec4(0.0);
    if unit < H {
        h_a[unit] = vec4(
            initial_h(row, unit), initial_h(row + 1u, unit),
            initial_h(row + 2u, unit), initial_h(row + 3u, unit),
        );
        c_a = vec4(
            initial_c(row, unit), initial_c(row + 1u, unit),
            initial_c(row + 2u, unit), initial_c(row + 3u, unit),
        );
        if WIDE {
            h_b[unit] = vec4(
                initial_h(row + 4u, unit), initial_h(row + 5u, unit),
                initial_h(row + 6u, unit), initial_h(row + 7u, unit),
            );
            c_b = vec4(
                initial_c(row + 4u, unit), initial_c(row + 5u, unit),
                initial_c(row + 6u, unit), initial_c(row + 7u, unit),
            );
        }
    }
    workgroupBarrier();
    for (var step = 0u; step < dims.t; step++) {
        let now = (step & 1u) * H;
        let next = H - now;
        if unit < H {
            var a0 = x_part(row, step, unit);
            var a1 = x_part(row + 1u, step, unit);
            var a2 = x_part(row + 2u, step, unit);
            var a3 = x_part(row + 3u, step, unit);
            let prev_a = h_a[now + unit];
            if WIDE {
                var b0 = x_part(row + 4u, step, unit);
                var b1 = x_part(row + 5u, step, unit);
                var b2 = x_part(row + 6u, step, unit);
                var b3 = x_part(row + 7u, step, unit);
                let prev_b = h_b[now + unit];
                for (var k = 0u; k < H; k++) {
                    let w = r[k * H + unit];
                    let ha = h_a[now + k];
                    let hb = h_b[now + k];
                    a0 += ha.x * w;
                    a1 += ha.y * w;
                    a2 += ha.z * w;
                    a3 += ha.w * w;
                    b0 += hb.x * w;
                    b1 += hb.y * w;
                    b2 += hb.z * w;
                    b3 += hb.w * w;
                }
                let e0 = finish(row + 4u, step, unit, b0, prev_b.x, c_b.x);
                let e1 = finish(row + 5u, step, unit, b1, prev_b.y, c_b.y);
                let e2 = finish(row + 6u, step, unit, b2, prev_b.z, c_b.z);
                let e3 = finish(row + 7u, step, unit, b3, prev_b.w, c_b.w);
                h_b[next + unit] = vec4(e0.x, e1.x, e2.x, e3.x);
                c_b = vec4(e0.y, e1.y, e2.y, e3.y);
            } else {
                for (var k = 0u; k < H; k++) {
                    let w = r[k * H + unit];
                    let ha = h_a[now + k];
                    a0 += ha.x * w;
                    a1 += ha.y * w;
                    a2 += ha.z * w;
                    a3 += ha.w * w;
                }
            }
            let d0 = finish(row, step, unit, a0, prev_a.x, c_a.x);
            let d1 = finish(row + 1u, step, unit, a1, prev_a.y, c_a.y);
            let d2 = finish(row + 2u, step, unit, a2, prev_a.z, c_a.z);
            let d3 = finish(row + 3u, step, unit, a3, prev_a.w, c_a.w);
            h_a[next + unit] = vec4(d0.x, d1.x, d2.x, d3.x);
            c_a = vec4(d0.y, d1.y, d2.y, d3.y);
        }
        workgroupBarrier();
    }
    if unit < H {
        let last = (dims.t & 1u) * H;
        let ha = h_a[last + unit];
        store_state(row, unit, ha.x, c_a.x);
        store_state(row + 1u, unit, ha.y, c_a.y);
        store_state(row + 2u, unit, ha.z, c_a.z);
        store_state(row + 3u, unit, ha.w, c_a.w);
        if WIDE {
            let hb = h_b[last + unit];
            store_state(row + 4u, unit, hb.x, c_b.x);
            store_state(row + 5u, unit, hb.y, c_b.y);
            store_state(row + 6u, unit, hb.z, c_b.z);
            store_state(row + 7u, unit, hb.w, c_b.w);
        }
    }
}
