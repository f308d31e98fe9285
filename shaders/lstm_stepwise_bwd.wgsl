// lstm_stepwise_bwd: one timestep of an LSTM layer's backward pass, of any size.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward
//
// Shapes  common/lstm_backward.wgsl; d_c is carried in d_state
// Grid    ceil(H/64), ceil(b/4), 1: a workgroup takes 64 units of 4 rows, an invocation one
//         unit; d_a goes through shared memory in tiles of 64 units
// Parts   common/activations, cell/lstm, common/lstm_backward    Twin  src/ops/lstm/cpu.rs

var<workgroup> d_a: array<vec4<f32>, 256>;  // [64 units][4 rows] of vec4 (i,f,g,o)

fn end_step(row: u32, unit: u32, d_h: f32) {
    if row >= dims.b { return; }
    let at = dims.c_offset + state_place(row, unit);
    d_state[at] = differentiate(row, dims.step, unit, d_h, d_state[at]).d_c;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * 4u;
    let unit = group.x * 64u + lane;
    let inside = unit < dims.h;
    var d_h = vec4(0.0);
    if dims.step + 1u < dims.t {
        for (var u0 = 0u; u0 < dims.h; u0 += 64u) {
            let u = u0 + lane;
            for (var j = 0u; j < 4u; j++) {
                var d = vec4(0.0);
                if u < dims.h && row + j < dims.b { d = gates[place(row + j, dims.step + 1u, u)]; }
                d_a[lane * 4u + j] = d;
            }
            workgroupBarrier();
            if inside {
                let count = min(64u, dims.h - u0);
                for (var j = 0u; j < count; j++) {
                    let w = rt[(u0 + j) * dims.h + unit];
                    d_h += vec4(
                        dot(d_a[j * 4u], w), dot(d_a[j * 4u + 1u], w),
                        dot(d_a[j * 4u + 2u], w), dot(d_a[j * 4u + 3u], w),
                    );
                }
            }
            workgroupBarrier();
        }
    }
    if inside {
        end_step(row, unit, d_h.x);
        end_step(row + 1u, unit, d_h.y);
        end_step(row + 2u, unit, d_h.z);
        end_step(row + 3u, unit, d_h.w);
    }
}
