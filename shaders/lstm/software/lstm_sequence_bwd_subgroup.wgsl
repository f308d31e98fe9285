// lstm_sequence_bwd_subgroup: as lstm_sequence_bwd_wide, for software adapters with subgroups of 8: a
// load, of one address or of eight, costs them as much as six products, handing on next to nothing.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  lstm/parts/backward.wgsl
// Grid    ceil(b/16), 1, ways: a workgroup takes 16 rows through all steps, an invocation 4 units that
//         are WG apart; d_a is read where the step behind left it: an invocation loads two rows' of a
//         unit, and the subgroup hands them on; d_c in private memory, and as much of R^T as it holds
// Twin    src/ops/lstm/cpu/
// Needs   subgroups of exactly 8 lanes

override WG: u32;  // invocations, at least H/4, a multiple of 8
override H: u32;

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
    let row = dealt(group.x, groups.x) * 16u;
    let parts = rolled(16u);
    // Of unit `lane + j/4 WG` and rows `row + j%4 * 4` on.
    var c: array<vec4<f32>, 16>;
    var d_h: array<vec4<f32>, 16>;
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 4u * WG;
        if unit < H { c[j] = d_c_after(row + j % 4u * 4u, unit); }
    }
    // Units past the last one have its sums, which nobody takes.
    let column_0 = way * dims.r_way + min(lane, H - 1u);
    let column_1 = way * dims.r_way + min(lane + WG, H - 1u);
    let column_2 = way * dims.r_way + min(lane + 2u * WG, H - 1u);
    let column_3 = way * dims.r_way + min(lane + 3u * WG, H - 1u);
    // What private memory holds, within WGSL's 8 KiB: there a load of one place, known to be that of
    // all lanes, costs a quarter.
    var kept_rt: array<vec4<f32>, 432>;
    let kept = min(H, 108u);
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
        var h0_0 = vec4(0.0);
        var h0_1 = vec4(0.0);
        var h0_2 = vec4(0.0);
        var h0_3 = vec4(0.0);
        var h1_0 = vec4(0.0);
        var h1_1 = vec4(0.0);
        var h1_2 = vec4(0.0);
        var h1_3 = vec4(0.0);
        var h2_0 = vec4(0.0);
        var h2_1 = vec4(0.0);
        var h2_2 = vec4(0.0);
        var h2_3 = vec4(0.0);
        var h3_0 = vec4(0.0);
        var h3_1 = vec4(0.0);
        var h3_2 = vec4(0.0);
        var h3_3 = vec4(0.0);
        if back > 0u {
            // Where this lane's two rows of the step behind begin, if they have it.
            let behind = steps - back;
            let low_row = find_row(row + hand);
            let high_row = find_row(row + 8u + hand);
            let low_from = place(low_row, behind, 0u);
            let high_from = place(high_row, behind, 0u);
            let with_low = behind < low_row.steps;
            let with_high = behind < high_row.steps;
            // All loads of a turn come first: each is a chain of eight, and those next to each other are
            // on their way together.
            for (var u = 0u; u < kept; u++) {
                let at = 4u * subgroupBroadcast(u, 0u);
                let low = select(vec4(0.0), vec4<f32>(gates[low_from + u]), with_low);
                let high = select(vec4(0.0), vec4<f32>(gates[high_from + u]), with_high);
                let w0 = kept_rt[at + 0u];
                let w1 = kept_rt[at + 1u];
                let w2 = kept_rt[at + 2u];
                let w3 = kept_rt[at + 3u];
                let i0 = low_rows(low.x);
                let i1 = high_rows(low.x);
                let i2 = low_rows(high.x);
                let i3 = high_rows(high.x);
                h0_0 += i0 * w0.x;
                h0_1 += i1 * w0.x;
                h0_2 += i2 * w0.x;
                h0_3 += i3 * w0.x;
                h1_0 += i0 * w1.x;
                h1_1 += i1 * w1.x;
                h1_2 += i2 * w1.x;
                h1_3 += i3 * w1.x;
                h2_0 += i0 * w2.x;
                h2_1 += i1 * w2.x;
                h2_2 += i2 * w2.x;
                h2_3 += i3 * w2.x;
                h3_0 += i0 * w3.x;
                h3_1 += i1 * w3.x;
                h3_2 += i2 * w3.x;
                h3_3 += i3 * w3.x;
                let f0 = low_rows(low.y);
                let f1 = high_rows(low.y);
                let f2 = low_rows(high.y);
                let f3 = high_rows(high.y);
                h0_0 += f0 * w0.y;
                h0_1 += f1 * w0.y;
                h0_2 += f2 * w0.y;
                h0_3 += f3 * w0.y;
                h1_0 += f0 * w1.y;
                h1_1 += f1 * w1.y;
                h1_2 += f2 * w1.y;
                h1_3 += f3 * w1.y;
                h2_0 += f0 * w2.y;
                h2_1 += f1 * w2.y;
                h2_2 += f2 * w2.y;
                h2_3 += f3 * w2.y;
                h3_0 += f0 * w3.y;
                h3_1 += f1 * w3.y;
                h3_2 += f2 * w3.y;
                h3_3 += f3 * w3.y;
                let g0 = low_rows(low.z);
                let g1 = high_rows(low.z);
                let g2 = low_rows(high.z);
                let g3 = high_rows(high.z);
                h0_0 += g0 * w0.z;
                h0_1 += g1 * w0.z;
                h0_2 += g2 * w0.z;
                h0_3 += g3 * w0.z;
                h1_0 += g0 * w1.z;
                h1_1 += g1 * w1.z;
                h1_2 += g2 * w1.z;
                h1_3 += g3 * w1.z;
                h2_0 += g0 * w2.z;
                h2_1 += g1 * w2.z;
                h2_2 += g2 * w2.z;
                h2_3 += g3 * w2.z;
                h3_0 += g0 * w3.z;
                h3_1 += g1 * w3.z;
                h3_2 += g2 * w3.z;
                h3_3 += g3 * w3.z;
                let o0 = low_rows(low.w);
                let o1 = high_rows(low.w);
                let o2 = low_rows(high.w);
                let o3 = high_rows(high.w);
                h0_0 += o0 * w0.w;
                h0_1 += o1 * w0.w;
                h0_2 += o2 * w0.w;
                h0_3 += o3 * w0.w;
                h1_0 += o0 * w1.w;
                h1_1 += o1 * w1.w;
                h1_2 += o2 * w1.w;
                h1_3 += o3 * w1.w;
                h2_0 += o0 * w2.w;
                h2_1 += o1 * w2.w;
                h2_2 += o2 * w2.w;
                h2_3 += o3 * w2.w;
                h3_0 += o0 * w3.w;
                h3_1 += o1 * w3.w;
                h3_2 += o2 * w3.w;
                h3_3 += o3 * w3.w;
            }
            for (var u = kept; u < H; u++) {
                let low = select(vec4(0.0), vec4<f32>(gates[low_from + u]), with_low);
                let high = select(vec4(0.0), vec4<f32>(gates[high_from + u]), with_high);
                let w0 = rt[u * H + column_0];
                let w1 = rt[u * H + column_1];
                let w2 = rt[u * H + column_2];
                let w3 = rt[u * H + column_3];
                let i0 = low_rows(low.x);
                let i1 = high_rows(low.x);
                let i2 = low_rows(high.x);
                let i3 = high_rows(high.x);
                h0_0 += i0 * w0.x;
                h0_1 += i1 * w0.x;
                h0_2 += i2 * w0.x;
                h0_3 += i3 * w0.x;
                h1_0 += i0 * w1.x;
                h1_1 += i1 * w1.x;
                h1_2 += i2 * w1.x;
                h1_3 += i3 * w1.x;
                h2_0 += i0 * w2.x;
                h2_1 += i1 * w2.x;
                h2_2 += i2 * w2.x;
                h2_3 += i3 * w2.x;
                h3_0 += i0 * w3.x;
                h3_1 += i1 * w3.x;
                h3_2 += i2 * w3.x;
                h3_3 += i3 * w3.x;
                let f0 = low_rows(low.y);
                let f1 = high_rows(low.y);
                let f2 = low_rows(high.y);
                let f3 = high_rows(high.y);
                h0_0 += f0 * w0.y;
                h0_1 += f1 * w0.y;
                h0_2 += f2 * w0.y;
                h0_3 += f3 * w0.y;
                h1_0 += f0 * w1.y;
                h1_1 += f1 * w1.y;
                h1_2 += f2 * w1.y;
                h1_3 += f3 * w1.y;
                h2_0 += f0 * w2.y;
                h2_1 += f1 * w2.y;
                h2_2 += f2 * w2.y;
                h2_3 += f3 * w2.y;
                h3_0 += f0 * w3.y;
                h3_1 += f1 * w3.y;
                h3_2 += f2 * w3.y;
                h3_3 += f3 * w3.y;
                let g0 = low_rows(low.z);
                let g1 = high_rows(low.z);
                let g2 = low_rows(high.z);
                let g3 = high_rows(high.z);
                h0_0 += g0 * w0.z;
                h0_1 += g1 * w0.z;
                h0_2 += g2 * w0.z;
                h0_3 += g3 * w0.z;
                h1_0 += g0 * w1.z;
                h1_1 += g1 * w1.z;
                h1_2 += g2 * w1.z;
                h1_3 += g3 * w1.z;
                h2_0 += g0 * w2.z;
                h2_1 += g1 * w2.z;
                h2_2 += g2 * w2.z;
                h2_3 += g3 * w2.z;
                h3_0 += g0 * w3.z;
                h3_1 += g1 * w3.z;
                h3_2 += g2 * w3.z;
                h3_3 += g3 * w3.z;
                let o0 = low_rows(low.w);
                let o1 = high_rows(low.w);
                let o2 = low_rows(high.w);
                let o3 = high_rows(high.w);
                h0_0 += o0 * w0.w;
                h0_1 += o1 * w0.w;
                h0_2 += o2 * w0.w;
                h0_3 += o3 * w0.w;
                h1_0 += o0 * w1.w;
                h1_1 += o1 * w1.w;
                h1_2 += o2 * w1.w;
                h1_3 += o3 * w1.w;
                h2_0 += o0 * w2.w;
                h2_1 += o1 * w2.w;
                h2_2 += o2 * w2.w;
                h2_3 += o3 * w2.w;
                h3_0 += o0 * w3.w;
                h3_1 += o1 * w3.w;
                h3_2 += o2 * w3.w;
                h3_3 += o3 * w3.w;
            }
        }
        d_h = array(
            h0_0, h0_1, h0_2, h0_3,
            h1_0, h1_1, h1_2, h1_3,
            h2_0, h2_1, h2_2, h2_3,
            h3_0, h3_1, h3_2, h3_3,
        );
        if back < steps {
            for (var j = 0u; j < parts; j++) {
                let unit = lane + j / 4u * WG;
                if unit < H {
                    let e = differentiate4(row + j % 4u * 4u, steps - 1u - back, unit, d_h[j], c[j]);
                    c[j] = e.d_c;
                }
            }
        }
        storageBarrier();
        workgroupBarrier();
    }
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 4u * WG;
        if unit < H { end4(row + j % 4u * 4u, unit, d_h[j], c[j]); }
    }
}
