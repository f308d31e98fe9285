// lstm_sequence_subgroup_row: as lstm_sequence_subgroup, for so few rows that each is taken by itself.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  lstm/parts/forward.wgsl
// Grid    b, 1, ways: a workgroup takes a row through all steps, an invocation a unit; h in shared
//         memory, twice, so that a step costs one barrier: an invocation loads four units' h, and the
//         subgroup hands them on; R in private memory
// Twin    src/ops/lstm/cpu/
// Needs   subgroups of exactly 8 lanes

const HANDED_ON = false;
override STATE: u32;  // WG / 2

var<workgroup> h: array<vec4<f32>, STATE>;  // [2][WG / 4] of 4 units

// Adds what 32 units of the step before, from `first` on, give. The loads come before all else: each is
// a chain of eight, and those next to each other are on their way together.
fn add32(sum: vec4<f32>, now: u32, first: u32, hand: u32) -> vec4<f32> {
    let e = h[(now + first) / 4u + hand];
    var a = sum;
    var b = vec4(0.0);
    //@ for l in 0..8
    a += subgroupBroadcast(e.x, $lu) * kept_r[first + (4u * $lu)];
    b += subgroupBroadcast(e.y, $lu) * kept_r[first + (4u * $lu + 1u)];
    a += subgroupBroadcast(e.z, $lu) * kept_r[first + (4u * $lu + 2u)];
    b += subgroupBroadcast(e.w, $lu) * kept_r[first + (4u * $lu + 3u)];
    //@ end
    return a + b;
}

fn h_at(place: u32) -> f32 { return h[place / 4u][place % 4u]; }

// Four invocations write to a vector, each its part: WGSL lets an implementation write all of it, the
// adapters that this is for do not, and the check at first use would notice.
fn keep_h(place: u32, value: f32) { h[place / 4u][place % 4u] = value; }

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) hand: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups.x);
    // Units past the last one have its sums, which nobody finishes; their h is 0.
    let unit = min(lane, H - 1u);
    let column = way * dims.r_way + unit;
    for (var k = 0u; k < min(H, KEPT); k++) {
        kept_r[subgroupBroadcast(k, 0u)] = vec4<f32>(r[k * H + column]);
    }
    var c = 0.0;
    keep_h(lane, 0.0);
    keep_h(WG + lane, 0.0);
    if lane < H {
        c = initial_c(row, unit);
        keep_h(lane, initial_h(row, unit));
    }
    workgroupBarrier();
    let steps = find_row(row).steps;
    for (var step = 0u; step < steps; step++) {
        let now = (step & 1u) * WG;
        var a = x_part(row, step, unit);
        a = add_kept(a, now, hand);
        for (var k = KEPT; k < H; k++) {
            a += h_at(now + k) * vec4<f32>(r[k * H + column]);
        }
        if lane < H {
            let e = finish(row, step, unit, a, h_at(now + unit), c);
            keep_h(WG - now + unit, e.x);
            c = e.y;
        }
        workgroupBarrier();
    }
    if lane < H { store_state(row, unit, h_at((steps & 1u) * WG + unit), c); }
}
