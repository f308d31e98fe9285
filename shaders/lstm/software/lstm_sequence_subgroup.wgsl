// lstm_sequence_subgroup: as lstm_sequence, for software adapters with subgroups of 8: a load, of one
// address or of eight, costs them as much as six products, handing on next to nothing.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  lstm/parts/forward.wgsl
// Grid    ceil(b/16), 1, ways: a workgroup takes 16 rows through all steps, an invocation two units that
//         are WG apart; h in shared memory, twice, so that a step costs one barrier: an invocation
//         loads two rows' h of a unit, and the subgroup hands them on; c in private memory,
//         and as much of R as it holds, taken two units at a time
// Twin    src/ops/lstm/cpu/
// Needs   subgroups of exactly 8 lanes

const HANDED_ON = false;
override WG: u32;  // invocations, at least H/2, a multiple of 8
override H: u32;
override STATE: u32;  // 32 H

var<workgroup> h: array<f32, STATE>;  // [2][H][16 rows]

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups_of_grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups_of_grid.x) * 16u;
    // Units past the last one have its sums, which nobody finishes.
    let unit_a = min(lane, H - 1u);
    let unit_b = min(lane + WG, H - 1u);
    let column_a = way * dims.r_way + unit_a;
    let column_b = way * dims.r_way + unit_b;
    // What private memory holds, within WGSL's 8 KiB: there a load of one place, known to be that of
    // all lanes, costs a quarter.
    var kept_r: array<vec4<f32>, 256>;
    let kept = min(H / 2u * 2u, 128u);
    for (var n = 0u; n < kept; n++) {
        let k = subgroupBroadcast(n, 0u);
        kept_r[2u * k] = r[k * H + column_a];
        kept_r[2u * k + 1u] = r[k * H + column_b];
    }
    // Of unit `lane + j/16 WG` and row `row + j%16`, here and below.
    let parts = rolled(32u);
    var c: array<f32, 32>;
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 16u * WG;
        if unit < H {
            c[j] = initial_c(row + j % 16u, unit);
            h[unit * 16u + j % 16u] = initial_h(row + j % 16u, unit);
        }
    }
    workgroupBarrier();
    // The first row is the longest.
    let steps = find_row(row).steps;
    for (var step = 0u; step < steps; step++) {
        let now = (step & 1u) * H;
        //@ for i in 0..8
        var a_low$i = x_part(row + $iu, step, unit_a);
        var b_low$i = x_part(row + $iu, step, unit_b);
        //@ end
        //@ for i in 0..8
        var a_high$i = x_part(row + (8u + $iu), step, unit_a);
        var b_high$i = x_part(row + (8u + $iu), step, unit_b);
        //@ end
        // All loads of a turn come first: each is a chain of eight, and those next to each other are on
        // their way together.
        for (var k = 0u; k < kept; k += 2u) {
            let at = 2u * subgroupBroadcast(k, 0u);
            let low0 = h[(now + k) * 16u + hand];
            let low1 = h[(now + k + 1u) * 16u + hand];
            let high0 = h[(now + k) * 16u + 8u + hand];
            let high1 = h[(now + k + 1u) * 16u + 8u + hand];
            let w0_a = kept_r[at];
            let w0_b = kept_r[at + 1u];
            let w1_a = kept_r[at + 2u];
            let w1_b = kept_r[at + 3u];
            // Row by row, so that only one of them is in a register at a time.
            //@ for p in low, high; i in 0..8
            let h_$p$i_0 = subgroupBroadcast($p0, $iu);
            let h_$p$i_1 = subgroupBroadcast($p1, $iu);
            a_$p$i = a_$p$i + h_$p$i_0 * w0_a + h_$p$i_1 * w1_a;
            b_$p$i = b_$p$i + h_$p$i_0 * w0_b + h_$p$i_1 * w1_b;
            //@ end
        }
        for (var k = kept; k < H; k += 2u) {
            // Behind an odd last one comes a zero times a zero.
            let more = k + 1u < H;
            let k1 = select(k, k + 1u, more);
            let low0 = h[(now + k) * 16u + hand];
            let low1 = select(0.0, h[(now + k1) * 16u + hand], more);
            let high0 = h[(now + k) * 16u + 8u + hand];
            let high1 = select(0.0, h[(now + k1) * 16u + 8u + hand], more);
            let w0_a = r[k * H + column_a];
            let w0_b = r[k * H + column_b];
            let w1_a = select(vec4(0.0), r[k1 * H + column_a], more);
            let w1_b = select(vec4(0.0), r[k1 * H + column_b], more);
            //@ for p in low, high; i in 0..8
            let h_$p$i_0 = subgroupBroadcast($p0, $iu);
            let h_$p$i_1 = subgroupBroadcast($p1, $iu);
            a_$p$i = a_$p$i + h_$p$i_0 * w0_a + h_$p$i_1 * w1_a;
            b_$p$i = b_$p$i + h_$p$i_0 * w0_b + h_$p$i_1 * w1_b;
            //@ end
        }
        var a = array(
            //@ for g in a, b; p in low, high; i in 0..8
            $g_$p$i,
            //@ end
        );
        for (var j = 0u; j < parts; j++) {
            let unit = lane + j / 16u * WG;
            if unit < H {
                let old = h[(now + unit) * 16u + j % 16u];
                let e = finish(row + j % 16u, step, unit, a[j], old, c[j]);
                h[(H - now + unit) * 16u + j % 16u] = e.x;
                c[j] = e.y;
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < parts; j++) {
        let unit = lane + j / 16u * WG;
        let last = ((steps & 1u) * H + unit) * 16u + j % 16u;
        if unit < H { store_state(row + j % 16u, unit, h[last], c[j]); }
    }
}
