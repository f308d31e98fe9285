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
    //@ for j in 0..4
    let column_$j = way * dims.r_way + min(lane + $ju * WG, H - 1u);
    //@ end
    // What private memory holds, within WGSL's 8 KiB: there a load of one place, known to be that of
    // all lanes, costs a quarter.
    var kept_rt: array<vec4<f32>, 432>;
    let kept = min(H, 108u);
    for (var n = 0u; n < kept; n++) {
        let u = subgroupBroadcast(n, 0u);
        //@ for j in 0..4
        kept_rt[4u * u + $ju] = rt[u * H + column_$j];
        //@ end
    }
    // The first row is the longest. Behind its first step one more gives d_h of the state before.
    let steps = find_row(row).steps;
    for (var back = 0u; back < steps + dims.before; back++) {
        //@ for j in 0..4; q in 0..4
        var h$j_$q = vec4(0.0);
        //@ end
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
                //@ for j in 0..4
                let w$j = kept_rt[at + $ju];
                //@ end
                //@ for c v in x i, y f, z g, w o
                let $v0 = low_rows(low.$c);
                let $v1 = high_rows(low.$c);
                let $v2 = low_rows(high.$c);
                let $v3 = high_rows(high.$c);
                //@ for j in 0..4; q in 0..4
                h$j_$q += $v$q * w$j.$c;
                //@ end
                //@ end
            }
            for (var u = kept; u < H; u++) {
                let low = select(vec4(0.0), vec4<f32>(gates[low_from + u]), with_low);
                let high = select(vec4(0.0), vec4<f32>(gates[high_from + u]), with_high);
                //@ for j in 0..4
                let w$j = rt[u * H + column_$j];
                //@ end
                //@ for c v in x i, y f, z g, w o
                let $v0 = low_rows(low.$c);
                let $v1 = high_rows(low.$c);
                let $v2 = low_rows(high.$c);
                let $v3 = high_rows(high.$c);
                //@ for j in 0..4; q in 0..4
                h$j_$q += $v$q * w$j.$c;
                //@ end
                //@ end
            }
        }
        d_h = array(
            //@ for j in 0..4
            h$j_0, h$j_1, h$j_2, h$j_3,
            //@ end
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
