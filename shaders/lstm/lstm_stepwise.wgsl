// lstm_stepwise: one timestep of an LSTM layer, of any size.
//
//   a = x_part + R h    then the cell
//
// Shapes  lstm/parts/forward.wgsl; h_before and c_before are always there: a step writes the
//         next one's
// Grid    ceil(H/64), ceil(b/4), ways: a workgroup takes 64 units of 4 rows, an invocation one
//         unit; h goes through shared memory in tiles of 64 units
// Twin    src/ops/lstm/cpu/

var<workgroup> h_tile: array<vec4<f32>, 64>;  // [64 units] of 4 rows

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    way = group.z;
    let row = group.y * 4u;
    let unit = group.x * 64u + lane;
    let column = way * dims.r_way + unit;
    let inside = unit < dims.h;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    if inside {
        a0 = x_part(row, dims.step, unit);
        a1 = x_part(row + 1u, dims.step, unit);
        a2 = x_part(row + 2u, dims.step, unit);
        a3 = x_part(row + 3u, dims.step, unit);
    }
    for (var k0 = 0u; k0 < dims.h; k0 += 64u) {
        let k = k0 + lane;
        if k < dims.h {
            h_tile[lane] = vec4(h_now(row, k), h_now(row + 1u, k), h_now(row + 2u, k), h_now(row + 3u, k));
        }
        workgroupBarrier();
        if inside {
            let count = min(64u, dims.h - k0);
            for (var j = 0u; j < count; j++) {
                let w = vec4<f32>(r[(k0 + j) * dims.h + column]);
                let h4 = h_tile[j];
                a0 += h4.x * w;
                a1 += h4.y * w;
                a2 += h4.z * w;
                a3 += h4.w * w;
            }
        }
        workgroupBarrier();
    }
    if inside {
        var a = array(a0, a1, a2, a3);
        for (var j = 0u; j < rolled(4u); j++) { end_step(row + j, unit, a[j]); }
    }
}
