// lstm_sequence_bwd_subgroup_row: as lstm_sequence_bwd_subgroup, for so few rows that each is taken by itself.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  lstm/parts/backward.wgsl
// Grid    b, 1, ways: a workgroup takes a row through all steps, an invocation a unit; d_a in shared
//         memory, twice, so that a step costs one barrier: an invocation loads a unit's, and the
//         subgroup hands them on; R^T in private memory
// Twin    src/ops/lstm/cpu/
// Needs   subgroups of exactly 8 lanes

override WIDE: u32;  // 2 WG

var<workgroup> d_a: array<vec4<f32>, WIDE>;  // [2][WG] of 4 gates

// Adds what 32 units of the step behind, from `first` on, give, by gates. The loads come before all
// else: each is a chain of eight, and those next to each other are on their way together.
fn add32(sum: vec4<f32>, now: u32, first: u32, hand: u32) -> vec4<f32> {
    //@ for q in 0..4
    let e$q = d_a[now + first + (8u * $qu) + hand];
    //@ end
    var a = sum;
    var b = vec4(0.0);
    //@ for q in 0..4; l m in 0 1, 2 3, 4 5, 6 7
    a += subgroupBroadcast(e$q, $lu) * kept_r[first + (8u * $qu + $lu)];
    b += subgroupBroadcast(e$q, $mu) * kept_r[first + (8u * $qu + $mu)];
    //@ end
    return a + b;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups.x);
    let here = find_row(row);
    // Units past the last one have its sums, which nobody takes; their d_a is 0.
    let unit = min(lane, H - 1u);
    let column = way * dims.r_way + unit;
    for (var u = 0u; u < min(H, KEPT); u++) {
        kept_r[subgroupBroadcast(u, 0u)] = vec4<f32>(rt[u * H + column]);
    }
    d_a[lane] = vec4(0.0);
    d_a[WG + lane] = vec4(0.0);
    var c = 0.0;
    var d_h = 0.0;
    if lane < H && here.steps > 0u { c = d_state[d_c_place(here, unit)]; }
    workgroupBarrier();
    // Behind the first step one more gives d_h of the state before.
    for (var back = 0u; back < here.steps + dims.before; back++) {
        let now = (back & 1u) * WG;
        // Of the last step nothing is behind: zeros.
        var a = add_kept(vec4(0.0), now, hand);
        for (var u = KEPT; u < H; u++) {
            a += d_a[now + u] * vec4<f32>(rt[u * H + column]);
        }
        d_h = (a.x + a.y) + (a.z + a.w);
        if lane < H && back < here.steps {
            let e = differentiate(row, here.steps - 1u - back, unit, d_h, c);
            d_a[WG - now + unit] = e.d_a;
            c = e.d_c;
        }
        workgroupBarrier();
    }
    if lane < H && here.steps > 0u {
        d_state[d_c_place(here, unit)] = c;
        if dims.before != 0u { end_d_h(row, unit, d_h); }
    }
}
