// lstm_sequence: all timesteps of an LSTM layer in one dispatch.
//
//   a = x_part + R h    then the cell, for each step in turn
//
// Shapes  common/lstm_forward.wgsl
// Grid    ceil(b / (4 GROUPS)), 1, 1: a workgroup takes 1, 2 or 4 groups of 4 rows through all
//         steps, an invocation one unit; h in shared memory, twice, so that a step costs one
//         barrier; c in registers; R from the cache, each value for all rows
// Parts   common/activations, cell/lstm, common/lstm_forward    Twin  src/ops/lstm/cpu.rs

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
    now: u32, k: u32, unit: u32,
) {
    let w = r[k * H + unit];
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
    @builtin(local_invocation_index) unit: u32,
) {
    let row = group.x * 4u * GROUPS;
    var c0 = vec4(0.0);
    var c1 = vec4(0.0);
    var c2 = vec4(0.0);
    var c3 = vec4(0.0);
    if unit < H {
        c0 = initial_c4(row, unit);
        h[unit * GROUPS] = initial_h4(row, unit);
        if GROUPS > 1u {
            c1 = initial_c4(row + 4u, unit);
            h[unit * GROUPS + 1u] = initial_h4(row + 4u, unit);
        }
        if GROUPS > 2u {
            c2 = initial_c4(row + 8u, unit);
            c3 = initial_c4(row + 12u, unit);
            h[unit * GROUPS + 2u] = initial_h4(row + 8u, unit);
            h[unit * GROUPS + 3u] = initial_h4(row + 12u, unit);
        }
    }
    workgroupBarrier();
    for (var step = 0u; step < dims.t; step++) {
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
                multiply(&a0, &a1, &a2, &a3, now, k, unit);
                multiply(&a0, &a1, &a2, &a3, now, k + 1u, unit);
                multiply(&a0, &a1, &a2, &a3, now, k + 2u, unit);
                multiply(&a0, &a1, &a2, &a3, now, k + 3u, unit);
            }
            for (var k = H - H % 4u; k < H; k++) { multiply(&a0, &a1, &a2, &a3, now, k, unit); }
            let old = (now + unit) * GROUPS;
            let new_at = (H - now + unit) * GROUPS;
            let e0 = finish4(row, step, unit, a0, h[old], c0);
            h[new_at] = e0.h;
            c0 = e0.c;
            if GROUPS > 1u {
                let e1 = finish4(row + 4u, step, unit, a1, h[old + 1u], c1);
                h[new_at + 1u] = e1.h;
                c1 = e1.c;
            }
            if GROUPS > 2u {
                let e2 = finish4(row + 8u, step, unit, a2, h[old + 2u], c2);
                h[new_at + 2u] = e2.h;
                c2 = e2.c;
                let e3 = finish4(row + 12u, step, unit, a3, h[old + 3u], c3);
                h[new_at + 3u] = e3.h;
                c3 = e3.c;
            }
        }
        workgroupBarrier();
    }
    if unit < H {
        let last = ((dims.t & 1u) * H + unit) * GROUPS;
        store_state4(row, unit, h[last], c0);
        if GROUPS > 1u { store_state4(row + 4u, unit, h[last + 1u], c1); }
        if GROUPS > 2u {
            store_state4(row + 8u, unit, h[last + 2u], c2);
            store_state4(row + 12u, unit, h[last + 3u], c3);
        }
    }
}
