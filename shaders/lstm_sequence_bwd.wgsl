// lstm_sequence_bwd: all timesteps of an LSTM layer's backward pass in one dispatch.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  common/lstm_backward.wgsl
// Grid    ceil(b/4), 1, 1: a workgroup takes 4 rows through all steps, an invocation one unit;
//         d_a in shared memory, d_c in registers, R^T from the cache
// Parts   common/activations, cell/lstm, common/lstm_backward    Twin  src/ops/lstm/cpu.rs

override WG: u32;      // invocations, at least H
override H: u32;
override D_SIZE: u32;  // 4 H

var<workgroup> d_a: array<vec4<f32>, D_SIZE>;  // [H][4 rows] of vec4 (i,f,g,o)

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) unit: u32,
) {
    let row = group.x * 4u;
    var d_c = vec4(0.0);
    if unit < H {
        for (var j = 0u; j < 4u; j++) {
            if row + j < dims.b { d_c[j] = d_state[dims.c_offset + state_place(row + j, unit)]; }
            d_a[unit * 4u + j] = vec4(0.0);
        }
    }
    workgroupBarrier();
    for (var back = 0u; back < dims.t; back++) {
        let step = dims.t - 1u - back;
        var d_h = vec4(0.0);
        if unit < H && back > 0u {
            for (var u = 0u; u < H; u++) {
                let w = rt[u * H + unit];
                d_h += vec4(
                    dot(d_a[u * 4u], w), dot(d_a[u * 4u + 1u], w),
                    dot(d_a[u * 4u + 2u], w), dot(d_a[u * 4u + 3u], w),
                );
            }
        }
        workgroupBarrier();
        if unit < H {
            let e0 = differentiate(row, step, unit, d_h.x, d_c.x);
            let e1 = differentiate(row + 1u, step, unit, d_h.y, d_c.y);
            let e2 = differentiate(row + 2u, step, unit, d_h.z, d_c.z);
            let e3 = differentiate(row + 3u, step, unit, d_h.w, d_c.w);
            d_c = vec4(e0.d_c, e1.d_c, e2.d_c, e3.d_c);
            d_a[unit * 4u] = e0.d_a;
            d_a[unit * 4u + 1u] = e1.d_a;
            d_a[unit * 4u + 2u] = e2.d_a;
            d_a[unit * 4u + 3u] = e3.d_a;
        }
        workgroupBarrier();
    }
    if unit < H {
        for (var j = 0u; j < 4u; j++) {
            if row + j < dims.b { d_state[dims.c_offset + state_place(row + j, unit)] = d_c[j]; }
        }
    }
}
