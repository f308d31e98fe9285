// lstm_sequence_bwd_wide: as lstm_sequence_bwd, for software adapters: each load, of R^T and of
// d_a, serves as much as it can, since there a load costs more than what it is used for.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  lstm/parts/backward.wgsl
// Grid    ceil(b/8), 1, ways: a workgroup takes 8 rows through all steps, an invocation 4 units that
//         are WG apart; d_a in shared memory, d_c in registers
// Twin    src/ops/lstm/cpu/

override WG: u32;  // invocations, at least H/4
override H: u32;
override WIDE: u32;  // 2 H

var<workgroup> d_a: array<mat4x4<f32>, WIDE>;  // [2][H][4 gates] of rows 0 to 3, and 4 to 7

// What unit u of the step behind adds to d_h of 8 rows.
fn multiply(
    low: ptr<function, vec4<f32>>, high: ptr<function, vec4<f32>>,
    a_low: mat4x4<f32>, a_high: mat4x4<f32>,
    u: u32, unit: u32,
) {
    let w = vec4<f32>(rt[way * dims.r_way + u * H + min(unit, H - 1u)]);
    *low += a_low * w;
    *high += a_high * w;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups.x) * 8u;
    let parts = rolled(8u);
    // Of unit `lane + j/2 WG` and, where j is odd, the higher rows.
    var c: array<vec4<f32>, 8>;
    var d_h: array<vec4<f32>, 8>;
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 2u * WG;
        if unit < H { c[j] = d_c_after(row + j % 2u * 4u, unit); }
    }
    // The first row is the longest. Behind its first step one more gives d_h of the state before.
    let steps = find_row(row).steps;
    for (var back = 0u; back < steps + dims.before; back++) {
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
                let low = d_a[u];
                let high = d_a[H + u];
                multiply(&h0, &h1, low, high, u, lane);
                multiply(&h2, &h3, low, high, u, lane + WG);
                multiply(&h4, &h5, low, high, u, lane + 2u * WG);
                multiply(&h6, &h7, low, high, u, lane + 3u * WG);
            }
        }
        workgroupBarrier();
        d_h = array(h0, h1, h2, h3, h4, h5, h6, h7);
        if back < steps {
            for (var j = 0u; j < parts; j++) {
                let unit = lane + j / 2u * WG;
                let half = j % 2u;
                if unit < H {
                    let e = differentiate4(row + 4u * half, steps - 1u - back, unit, d_h[j], c[j]);
                    d_a[half * H + unit] = e.d_a;
                    c[j] = e.d_c;
                }
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 2u * WG;
        if unit < H { end4(row + j % 2u * 4u, unit, d_h[j], c[j]); }
    }
}
