// lstm_sequence_subgroup: as lstm_sequence, for software adapters with subgroups of 8: a load, of one
// address or of eight, costs them as much as six products, handing on next to nothing.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  common/lstm_forward.wgsl
// Grid    ceil(b/16), 1, ways: a workgroup takes 16 rows through all steps, an invocation two units that
//         are WG apart; h in shared memory, twice, so that a step costs one barrier: an invocation
//         loads two rows' h of a unit, and the subgroup hands them on; c in private memory
// Parts   those of src/ops/lstm/mod.rs    Twin  src/ops/lstm/cpu/
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
        for (var k = 0u; k < H; k++) {
            let w_a = r[k * H + column_a];
            let w_b = r[k * H + column_b];
            // Row by row, so that only one of them is in a register at a time.
            let low = h[(now + k) * 16u + hand];
            let h0 = subgroupBroadcast(low, 0u);
            a0 += h0 * w_a;
            b0 += h0 * w_b;
            let h1 = subgroupBroadcast(low, 1u);
            a1 += h1 * w_a;
            b1 += h1 * w_b;
            let h2 = subgroupBroadcast(low, 2u);
            a2 += h2 * w_a;
            b2 += h2 * w_b;
            let h3 = subgroupBroadcast(low, 3u);
            a3 += h3 * w_a;
            b3 += h3 * w_b;
            let h4 = subgroupBroadcast(low, 4u);
            a4 += h4 * w_a;
            b4 += h4 * w_b;
            let h5 = subgroupBroadcast(low, 5u);
            a5 += h5 * w_a;
            b5 += h5 * w_b;
            let h6 = subgroupBroadcast(low, 6u);
            a6 += h6 * w_a;
            b6 += h6 * w_b;
            let h7 = subgroupBroadcast(low, 7u);
            a7 += h7 * w_a;
            b7 += h7 * w_b;
            let high = h[(now + k) * 16u + 8u + hand];
            let h8 = subgroupBroadcast(high, 0u);
            a8 += h8 * w_a;
            b8 += h8 * w_b;
            let h9 = subgroupBroadcast(high, 1u);
            a9 += h9 * w_a;
            b9 += h9 * w_b;
            let h10 = subgroupBroadcast(high, 2u);
            a10 += h10 * w_a;
            b10 += h10 * w_b;
            let h11 = subgroupBroadcast(high, 3u);
            a11 += h11 * w_a;
            b11 += h11 * w_b;
            let h12 = subgroupBroadcast(high, 4u);
            a12 += h12 * w_a;
            b12 += h12 * w_b;
            let h13 = subgroupBroadcast(high, 5u);
            a13 += h13 * w_a;
            b13 += h13 * w_b;
            let h14 = subgroupBroadcast(high, 6u);
            a14 += h14 * w_a;
            b14 += h14 * w_b;
            let h15 = subgroupBroadcast(high, 7u);
            a15 += h15 * w_a;
            b15 += h15 * w_b;
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
