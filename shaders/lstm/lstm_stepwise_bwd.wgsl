// lstm_stepwise_bwd: one timestep of an LSTM layer's backward pass, of any size.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward; with dims.before only d_h = d_a[0] R^T
//
// Shapes  lstm/parts/backward.wgsl; d_c is carried in d_state
// Grid    ceil(H/64), ceil(b/4), ways: a workgroup takes 64 units of 4 rows, an invocation one
//         unit; d_a goes through shared memory in tiles of 64 units
// Twin    src/ops/lstm/cpu/

var<workgroup> d_a: array<vec4<f32>, 256>;  // [64 units][4 rows] of vec4 (i,f,g,o)

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
    var d_h = vec4(0.0);
    let behind = step_behind();
    if behind < dims.t {
        for (var u0 = 0u; u0 < dims.h; u0 += 64u) {
            let u = u0 + lane;
            for (var j = 0u; j < 4u; j++) {
                var d = vec4(0.0);
                let here = find_row(row + j);
                if u < dims.h && behind < here.steps { d = vec4<f32>(gates[place(here, behind, u)]); }
                d_a[lane * 4u + j] = d;
            }
            workgroupBarrier();
            if inside {
                let count = min(64u, dims.h - u0);
                for (var j = 0u; j < count; j++) {
                    let w = vec4<f32>(rt[(u0 + j) * dims.h + column]);
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
        for (var j = 0u; j < rolled(4u); j++) { end_step(row + j, unit, d_h[j]); }
    }
}
