// lstm_sequence: all timesteps of an LSTM layer in one dispatch.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  lstm/parts/forward.wgsl
// Grid    ceil(b / (4 GROUPS)), 1, ways: a workgroup takes 1, 2 or 4 groups of 4 rows through all
//         steps, an invocation one unit; h in shared memory, twice, so that a step costs one
//         barrier; c in registers; R from the cache, each value for all rows
// Twin    src/ops/lstm/cpu/

const HANDED_ON = false;
override WG: u32;  // invocations, at least H
override H: u32;
override GROUPS: u32;
override STATE: u32;  // 2 H GROUPS

var<workgroup> h: array<vec4<f32>, STATE>;  // [2][H][GROUPS] of 4 rows

fn initial_h4(row: u32, unit: u32) -> vec4<f32> {
    return vec4(
        initial_h(row, unit), initial_h(row + 1u, unit),
        initial_h(row + 2u, unit), initial_h(row + 3u, unit),
    );
}

fn initial_c4(row: u32, unit: u32) -> vec4<f32> {
    return vec4(
        initial_c(row, unit), initial_c(row + 1u, unit),
        initial_c(row + 2u, unit), initial_c(row + 3u, unit),
    );
}

fn add_product(a: ptr<function, mat4x4<f32>>, h4: vec4<f32>, w: vec4<f32>) {
    (*a)[0] += h4 * w.x;
    (*a)[1] += h4 * w.y;
    (*a)[2] += h4 * w.z;
    (*a)[3] += h4 * w.w;
}

// What unit k of the step before adds to the gates.
fn multiply(
    a0: ptr<function, mat4x4<f32>>, a1: ptr<function, mat4x4<f32>>,
    a2: ptr<function, mat4x4<f32>>, a3: ptr<function, mat4x4<f32>>,
    now: u32, k: u32, column: u32,
) {
    let w = vec4<f32>(r[k * H + column]);
    let at = (now + k) * GROUPS;
    add_product(a0, h[at], w);
    if GROUPS > 1u { add_product(a1, h[at + 1u], w); }
    if GROUPS > 2u {
        add_product(a2, h[at + 2u], w);
        add_product(a3, h[at + 3u], w);
    }
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups_of_grid: vec3<u32>,
    @builtin(local_invocation_index) unit: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups_of_grid.x) * 4u * GROUPS;
    let column = way * dims.r_way + unit;
    let groups = rolled(GROUPS);
    var c: array<vec4<f32>, 4>;
    if unit < H {
        for (var g = 0u; g < groups; g++) {
            c[g] = initial_c4(row + 4u * g, unit);
            h[unit * GROUPS + g] = initial_h4(row + 4u * g, unit);
        }
    }
    workgroupBarrier();
    // The first row is the longest.
    let steps = find_row(row).steps;
    for (var step = 0u; step < steps; step++) {
        let now = (step & 1u) * H;
        if unit < H {
            var a0 = x_part4(row, step, unit);
            var a1: mat4x4<f32>;
            var a2: mat4x4<f32>;
            var a3: mat4x4<f32>;
            if GROUPS > 1u { a1 = x_part4(row + 4u, step, unit); }
            if GROUPS > 2u {
                a2 = x_part4(row + 8u, step, unit);
                a3 = x_part4(row + 12u, step, unit);
            }
            // Four at a time: a software adapter masks what a loop carries from turn to turn.
            for (var k = 0u; k < H - H % 4u; k += 4u) {
                multiply(&a0, &a1, &a2, &a3, now, k, column);
                multiply(&a0, &a1, &a2, &a3, now, k + 1u, column);
                multiply(&a0, &a1, &a2, &a3, now, k + 2u, column);
                multiply(&a0, &a1, &a2, &a3, now, k + 3u, column);
            }
            for (var k = H - H % 4u; k < H; k++) { multiply(&a0, &a1, &a2, &a3, now, k, column); }
            let old = (now + unit) * GROUPS;
            let new_at = (H - now + unit) * GROUPS;
            var a = array(a0, a1, a2, a3);
            for (var g = 0u; g < groups; g++) {
                let e = finish4(row + 4u * g, step, unit, a[g], h[old + g], c[g]);
                h[new_at + g] = e.h;
                c[g] = e.c;
            }
        }
        workgroupBarrier();
    }
    if unit < H {
        let last = ((steps & 1u) * H + unit) * GROUPS;
        for (var g = 0u; g < groups; g++) { store_state4(row + 4u * g, unit, h[last + g], c[g]); }
    }
}
