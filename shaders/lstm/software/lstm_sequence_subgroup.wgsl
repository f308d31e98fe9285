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
        var a0 = x_part(row + 0u, step, unit_a);
        var b0 = x_part(row + 0u, step, unit_b);
        var a1 = x_part(row + 1u, step, unit_a);
        var b1 = x_part(row + 1u, step, unit_b);
        var a2 = x_part(row + 2u, step, unit_a);
        var b2 = x_part(row + 2u, step, unit_b);
        var a3 = x_part(row + 3u, step, unit_a);
        var b3 = x_part(row + 3u, step, unit_b);
        var a4 = x_part(row + 4u, step, unit_a);
        var b4 = x_part(row + 4u, step, unit_b);
        var a5 = x_part(row + 5u, step, unit_a);
        var b5 = x_part(row + 5u, step, unit_b);
        var a6 = x_part(row + 6u, step, unit_a);
        var b6 = x_part(row + 6u, step, unit_b);
        var a7 = x_part(row + 7u, step, unit_a);
        var b7 = x_part(row + 7u, step, unit_b);
        var a8 = x_part(row + 8u, step, unit_a);
        var b8 = x_part(row + 8u, step, unit_b);
        var a9 = x_part(row + 9u, step, unit_a);
        var b9 = x_part(row + 9u, step, unit_b);
        var a10 = x_part(row + 10u, step, unit_a);
        var b10 = x_part(row + 10u, step, unit_b);
        var a11 = x_part(row + 11u, step, unit_a);
        var b11 = x_part(row + 11u, step, unit_b);
        var a12 = x_part(row + 12u, step, unit_a);
        var b12 = x_part(row + 12u, step, unit_b);
        var a13 = x_part(row + 13u, step, unit_a);
        var b13 = x_part(row + 13u, step, unit_b);
        var a14 = x_part(row + 14u, step, unit_a);
        var b14 = x_part(row + 14u, step, unit_b);
        var a15 = x_part(row + 15u, step, unit_a);
        var b15 = x_part(row + 15u, step, unit_b);
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
            let h0_0 = subgroupBroadcast(low0, 0u);
            let h0_1 = subgroupBroadcast(low1, 0u);
            a0 = a0 + h0_0 * w0_a + h0_1 * w1_a;
            b0 = b0 + h0_0 * w0_b + h0_1 * w1_b;
            let h1_0 = subgroupBroadcast(low0, 1u);
            let h1_1 = subgroupBroadcast(low1, 1u);
            a1 = a1 + h1_0 * w0_a + h1_1 * w1_a;
            b1 = b1 + h1_0 * w0_b + h1_1 * w1_b;
            let h2_0 = subgroupBroadcast(low0, 2u);
            let h2_1 = subgroupBroadcast(low1, 2u);
            a2 = a2 + h2_0 * w0_a + h2_1 * w1_a;
            b2 = b2 + h2_0 * w0_b + h2_1 * w1_b;
            let h3_0 = subgroupBroadcast(low0, 3u);
            let h3_1 = subgroupBroadcast(low1, 3u);
            a3 = a3 + h3_0 * w0_a + h3_1 * w1_a;
            b3 = b3 + h3_0 * w0_b + h3_1 * w1_b;
            let h4_0 = subgroupBroadcast(low0, 4u);
            let h4_1 = subgroupBroadcast(low1, 4u);
            a4 = a4 + h4_0 * w0_a + h4_1 * w1_a;
            b4 = b4 + h4_0 * w0_b + h4_1 * w1_b;
            let h5_0 = subgroupBroadcast(low0, 5u);
            let h5_1 = subgroupBroadcast(low1, 5u);
            a5 = a5 + h5_0 * w0_a + h5_1 * w1_a;
            b5 = b5 + h5_0 * w0_b + h5_1 * w1_b;
            let h6_0 = subgroupBroadcast(low0, 6u);
            let h6_1 = subgroupBroadcast(low1, 6u);
            a6 = a6 + h6_0 * w0_a + h6_1 * w1_a;
            b6 = b6 + h6_0 * w0_b + h6_1 * w1_b;
            let h7_0 = subgroupBroadcast(low0, 7u);
            let h7_1 = subgroupBroadcast(low1, 7u);
            a7 = a7 + h7_0 * w0_a + h7_1 * w1_a;
            b7 = b7 + h7_0 * w0_b + h7_1 * w1_b;
            let h8_0 = subgroupBroadcast(high0, 0u);
            let h8_1 = subgroupBroadcast(high1, 0u);
            a8 = a8 + h8_0 * w0_a + h8_1 * w1_a;
            b8 = b8 + h8_0 * w0_b + h8_1 * w1_b;
            let h9_0 = subgroupBroadcast(high0, 1u);
            let h9_1 = subgroupBroadcast(high1, 1u);
            a9 = a9 + h9_0 * w0_a + h9_1 * w1_a;
            b9 = b9 + h9_0 * w0_b + h9_1 * w1_b;
            let h10_0 = subgroupBroadcast(high0, 2u);
            let h10_1 = subgroupBroadcast(high1, 2u);
            a10 = a10 + h10_0 * w0_a + h10_1 * w1_a;
            b10 = b10 + h10_0 * w0_b + h10_1 * w1_b;
            let h11_0 = subgroupBroadcast(high0, 3u);
            let h11_1 = subgroupBroadcast(high1, 3u);
            a11 = a11 + h11_0 * w0_a + h11_1 * w1_a;
            b11 = b11 + h11_0 * w0_b + h11_1 * w1_b;
            let h12_0 = subgroupBroadcast(high0, 4u);
            let h12_1 = subgroupBroadcast(high1, 4u);
            a12 = a12 + h12_0 * w0_a + h12_1 * w1_a;
            b12 = b12 + h12_0 * w0_b + h12_1 * w1_b;
            let h13_0 = subgroupBroadcast(high0, 5u);
            let h13_1 = subgroupBroadcast(high1, 5u);
            a13 = a13 + h13_0 * w0_a + h13_1 * w1_a;
            b13 = b13 + h13_0 * w0_b + h13_1 * w1_b;
            let h14_0 = subgroupBroadcast(high0, 6u);
            let h14_1 = subgroupBroadcast(high1, 6u);
            a14 = a14 + h14_0 * w0_a + h14_1 * w1_a;
            b14 = b14 + h14_0 * w0_b + h14_1 * w1_b;
            let h15_0 = subgroupBroadcast(high0, 7u);
            let h15_1 = subgroupBroadcast(high1, 7u);
            a15 = a15 + h15_0 * w0_a + h15_1 * w1_a;
            b15 = b15 + h15_0 * w0_b + h15_1 * w1_b;
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
            let h0_0 = subgroupBroadcast(low0, 0u);
            let h0_1 = subgroupBroadcast(low1, 0u);
            a0 = a0 + h0_0 * w0_a + h0_1 * w1_a;
            b0 = b0 + h0_0 * w0_b + h0_1 * w1_b;
            let h1_0 = subgroupBroadcast(low0, 1u);
            let h1_1 = subgroupBroadcast(low1, 1u);
            a1 = a1 + h1_0 * w0_a + h1_1 * w1_a;
            b1 = b1 + h1_0 * w0_b + h1_1 * w1_b;
            let h2_0 = subgroupBroadcast(low0, 2u);
            let h2_1 = subgroupBroadcast(low1, 2u);
            a2 = a2 + h2_0 * w0_a + h2_1 * w1_a;
            b2 = b2 + h2_0 * w0_b + h2_1 * w1_b;
            let h3_0 = subgroupBroadcast(low0, 3u);
            let h3_1 = subgroupBroadcast(low1, 3u);
            a3 = a3 + h3_0 * w0_a + h3_1 * w1_a;
            b3 = b3 + h3_0 * w0_b + h3_1 * w1_b;
            let h4_0 = subgroupBroadcast(low0, 4u);
            let h4_1 = subgroupBroadcast(low1, 4u);
            a4 = a4 + h4_0 * w0_a + h4_1 * w1_a;
            b4 = b4 + h4_0 * w0_b + h4_1 * w1_b;
            let h5_0 = subgroupBroadcast(low0, 5u);
            let h5_1 = subgroupBroadcast(low1, 5u);
            a5 = a5 + h5_0 * w0_a + h5_1 * w1_a;
            b5 = b5 + h5_0 * w0_b + h5_1 * w1_b;
            let h6_0 = subgroupBroadcast(low0, 6u);
            let h6_1 = subgroupBroadcast(low1, 6u);
            a6 = a6 + h6_0 * w0_a + h6_1 * w1_a;
            b6 = b6 + h6_0 * w0_b + h6_1 * w1_b;
            let h7_0 = subgroupBroadcast(low0, 7u);
            let h7_1 = subgroupBroadcast(low1, 7u);
            a7 = a7 + h7_0 * w0_a + h7_1 * w1_a;
            b7 = b7 + h7_0 * w0_b + h7_1 * w1_b;
            let h8_0 = subgroupBroadcast(high0, 0u);
            let h8_1 = subgroupBroadcast(high1, 0u);
            a8 = a8 + h8_0 * w0_a + h8_1 * w1_a;
            b8 = b8 + h8_0 * w0_b + h8_1 * w1_b;
            let h9_0 = subgroupBroadcast(high0, 1u);
            let h9_1 = subgroupBroadcast(high1, 1u);
            a9 = a9 + h9_0 * w0_a + h9_1 * w1_a;
            b9 = b9 + h9_0 * w0_b + h9_1 * w1_b;
            let h10_0 = subgroupBroadcast(high0, 2u);
            let h10_1 = subgroupBroadcast(high1, 2u);
            a10 = a10 + h10_0 * w0_a + h10_1 * w1_a;
            b10 = b10 + h10_0 * w0_b + h10_1 * w1_b;
            let h11_0 = subgroupBroadcast(high0, 3u);
            let h11_1 = subgroupBroadcast(high1, 3u);
            a11 = a11 + h11_0 * w0_a + h11_1 * w1_a;
            b11 = b11 + h11_0 * w0_b + h11_1 * w1_b;
            let h12_0 = subgroupBroadcast(high0, 4u);
            let h12_1 = subgroupBroadcast(high1, 4u);
            a12 = a12 + h12_0 * w0_a + h12_1 * w1_a;
            b12 = b12 + h12_0 * w0_b + h12_1 * w1_b;
            let h13_0 = subgroupBroadcast(high0, 5u);
            let h13_1 = subgroupBroadcast(high1, 5u);
            a13 = a13 + h13_0 * w0_a + h13_1 * w1_a;
            b13 = b13 + h13_0 * w0_b + h13_1 * w1_b;
            let h14_0 = subgroupBroadcast(high0, 6u);
            let h14_1 = subgroupBroadcast(high1, 6u);
            a14 = a14 + h14_0 * w0_a + h14_1 * w1_a;
            b14 = b14 + h14_0 * w0_b + h14_1 * w1_b;
            let h15_0 = subgroupBroadcast(high0, 7u);
            let h15_1 = subgroupBroadcast(high1, 7u);
            a15 = a15 + h15_0 * w0_a + h15_1 * w1_a;
            b15 = b15 + h15_0 * w0_b + h15_1 * w1_b;
        }
        var a = array(
            a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15,
            b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15,
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
