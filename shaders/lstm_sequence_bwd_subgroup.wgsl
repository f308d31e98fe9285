// lstm_sequence_bwd_subgroup: as lstm_sequence_bwd_wide, for software adapters with subgroups of 8: a
// load, of one address or of eight, costs them as much as six products, handing on next to nothing.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  common/lstm_backward.wgsl
// Grid    ceil(b/8), 1, ways: a workgroup takes 8 rows through all steps, an invocation 4 units that
//         are WG apart; d_a in shared memory: an invocation loads one row's of a unit, and the
//         subgroup hands them on; d_c in private memory, and as much of R^T as it holds
// Parts   those of src/ops/lstm/mod.rs    Twin  src/ops/lstm/cpu/
// Needs   subgroups of exactly 8 lanes

override WG: u32;  // invocations, at least H/4, a multiple of 8
override H: u32;
override WIDE: u32;  // 32 H

var<workgroup> d_a: array<f32, WIDE>;  // [H][4 gates][8 rows]

// Four lanes' values.
fn low_rows(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

fn high_rows(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
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
    // Units past the last one have its sums, which nobody takes.
    let column_0 = way * dims.r_way + min(lane, H - 1u);
    let column_1 = way * dims.r_way + min(lane + WG, H - 1u);
    let column_2 = way * dims.r_way + min(lane + 2u * WG, H - 1u);
    let column_3 = way * dims.r_way + min(lane + 3u * WG, H - 1u);
    // What private memory holds, within WGSL's 8 KiB: there a load of one place, known to be that of
    // all lanes, costs a quarter.
    var kept_rt: array<vec4<f32>, 480>;
    let kept = min(H, 120u);
    for (var n = 0u; n < kept; n++) {
        let u = subgroupBroadcast(n, 0u);
        kept_rt[4u * u] = rt[u * H + column_0];
        kept_rt[4u * u + 1u] = rt[u * H + column_1];
        kept_rt[4u * u + 2u] = rt[u * H + column_2];
        kept_rt[4u * u + 3u] = rt[u * H + column_3];
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
            for (var u = 0u; u < kept; u++) {
                let at = 4u * subgroupBroadcast(u, 0u);
                let d_x = d_a[(u * 4u + 0u) * 8u + hand];
                let low_x = low_rows(d_x);
                let high_x = high_rows(d_x);
                let w0_x = kept_rt[at + 0u].x;
                h0 += low_x * w0_x;
                h1 += high_x * w0_x;
                let w1_x = kept_rt[at + 1u].x;
                h2 += low_x * w1_x;
                h3 += high_x * w1_x;
                let w2_x = kept_rt[at + 2u].x;
                h4 += low_x * w2_x;
                h5 += high_x * w2_x;
                let w3_x = kept_rt[at + 3u].x;
                h6 += low_x * w3_x;
                h7 += high_x * w3_x;
                let d_y = d_a[(u * 4u + 1u) * 8u + hand];
                let low_y = low_rows(d_y);
                let high_y = high_rows(d_y);
                let w0_y = kept_rt[at + 0u].y;
                h0 += low_y * w0_y;
                h1 += high_y * w0_y;
                let w1_y = kept_rt[at + 1u].y;
                h2 += low_y * w1_y;
                h3 += high_y * w1_y;
                let w2_y = kept_rt[at + 2u].y;
                h4 += low_y * w2_y;
                h5 += high_y * w2_y;
                let w3_y = kept_rt[at + 3u].y;
                h6 += low_y * w3_y;
                h7 += high_y * w3_y;
                let d_z = d_a[(u * 4u + 2u) * 8u + hand];
                let low_z = low_rows(d_z);
                let high_z = high_rows(d_z);
                let w0_z = kept_rt[at + 0u].z;
                h0 += low_z * w0_z;
                h1 += high_z * w0_z;
                let w1_z = kept_rt[at + 1u].z;
                h2 += low_z * w1_z;
                h3 += high_z * w1_z;
                let w2_z = kept_rt[at + 2u].z;
                h4 += low_z * w2_z;
                h5 += high_z * w2_z;
                let w3_z = kept_rt[at + 3u].z;
                h6 += low_z * w3_z;
                h7 += high_z * w3_z;
                let d_w = d_a[(u * 4u + 3u) * 8u + hand];
                let low_w = low_rows(d_w);
                let high_w = high_rows(d_w);
                let w0_w = kept_rt[at + 0u].w;
                h0 += low_w * w0_w;
                h1 += high_w * w0_w;
                let w1_w = kept_rt[at + 1u].w;
                h2 += low_w * w1_w;
                h3 += high_w * w1_w;
                let w2_w = kept_rt[at + 2u].w;
                h4 += low_w * w2_w;
                h5 += high_w * w2_w;
                let w3_w = kept_rt[at + 3u].w;
                h6 += low_w * w3_w;
                h7 += high_w * w3_w;
            }
            for (var u = kept; u < H; u++) {
                let d_x = d_a[(u * 4u + 0u) * 8u + hand];
                let low_x = low_rows(d_x);
                let high_x = high_rows(d_x);
                let w0_x = rt[u * H + column_0].x;
                h0 += low_x * w0_x;
                h1 += high_x * w0_x;
                let w1_x = rt[u * H + column_1].x;
                h2 += low_x * w1_x;
                h3 += high_x * w1_x;
                let w2_x = rt[u * H + column_2].x;
                h4 += low_x * w2_x;
                h5 += high_x * w2_x;
                let w3_x = rt[u * H + column_3].x;
                h6 += low_x * w3_x;
                h7 += high_x * w3_x;
                let d_y = d_a[(u * 4u + 1u) * 8u + hand];
                let low_y = low_rows(d_y);
                let high_y = high_rows(d_y);
                let w0_y = rt[u * H + column_0].y;
                h0 += low_y * w0_y;
                h1 += high_y * w0_y;
                let w1_y = rt[u * H + column_1].y;
                h2 += low_y * w1_y;
                h3 += high_y * w1_y;
                let w2_y = rt[u * H + column_2].y;
                h4 += low_y * w2_y;
                h5 += high_y * w2_y;
                let w3_y = rt[u * H + column_3].y;
                h6 += low_y * w3_y;
                h7 += high_y * w3_y;
                let d_z = d_a[(u * 4u + 2u) * 8u + hand];
                let low_z = low_rows(d_z);
                let high_z = high_rows(d_z);
                let w0_z = rt[u * H + column_0].z;
                h0 += low_z * w0_z;
                h1 += high_z * w0_z;
                let w1_z = rt[u * H + column_1].z;
                h2 += low_z * w1_z;
                h3 += high_z * w1_z;
                let w2_z = rt[u * H + column_2].z;
                h4 += low_z * w2_z;
                h5 += high_z * w2_z;
                let w3_z = rt[u * H + column_3].z;
                h6 += low_z * w3_z;
                h7 += high_z * w3_z;
                let d_w = d_a[(u * 4u + 3u) * 8u + hand];
                let low_w = low_rows(d_w);
                let high_w = high_rows(d_w);
                let w0_w = rt[u * H + column_0].w;
                h0 += low_w * w0_w;
                h1 += high_w * w0_w;
                let w1_w = rt[u * H + column_1].w;
                h2 += low_w * w1_w;
                h3 += high_w * w1_w;
                let w2_w = rt[u * H + column_2].w;
                h4 += low_w * w2_w;
                h5 += high_w * w2_w;
                let w3_w = rt[u * H + column_3].w;
                h6 += low_w * w3_w;
                h7 += high_w * w3_w;
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
                    for (var g = 0u; g < 4u; g++) {
                        let at = (unit * 4u + g) * 8u + half * 4u;
                        d_a[at] = e.d_a[g].x;
                        d_a[at + 1u] = e.d_a[g].y;
                        d_a[at + 2u] = e.d_a[g].z;
                        d_a[at + 3u] = e.d_a[g].w;
                    }
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
