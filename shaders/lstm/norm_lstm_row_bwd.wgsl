// norm_lstm_row_bwd: the gradients of timesteps of a layer-normalised LSTM, row by row: of a step before a
// product with R^T of all rows, or of any number of them.
//
// Shapes  as in norm_lstm_bwd; unless PRODUCT d_h is 0 on exit for a row that has the step, so that the
//         product can be added to it; each row has its part of the gradient of the norms
// Grid    folded B: a workgroup takes a row, an invocation units that are WG apart
// Twin    src/ops/lstm/norm/cpu/

override PRODUCT: bool;  // whether the product is computed here

@group(0) @binding(2) var<storage, read_write> z: array<vec4<f32>>;  // [T,B,H]
@group(0) @binding(5) var<storage, read> before: array<f32>;         // [T,B,2H+4]
@group(0) @binding(6) var<storage, read> d_y: array<f32>;            // [B,T,..]
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;     // [B,8H]
@group(0) @binding(8) var<storage, read> rt: array<vec4<f32>>;       // [H,H]: [to, from], if PRODUCT

// A unit's step, up to its cell.
struct End {
    gate: vec4<f32>,
    c: f32,        // before the step
    normal: f32,   // c', normalised
    tanh_c: f32,   // of it with gain and shift
    d_h: f32,
    d: f32,        // of what that tanh takes
}

fn end_of(row: vec2<u32>, frame: u32, saved: u32, u: u32) -> End {
    let h = dims.h;
    let gate = gates[frame * h + u];
    let c = before[saved + h + u];
    let new_c = gate.y * c + gate.x * gate.z;
    let normal = (new_c - before[saved + 2u * h + 2u]) * before[saved + 2u * h + 3u];
    let cell_gain = cell_gain_of(u);
    let tanh_c = tanh1(cell_gain.x * normal + cell_gain.y);
    var d_h = sums[row.x * 8u * h + u];
    if dims.sequences != 0u { d_h += d_y[y_of(frame) + u]; }
    return End(gate, c, normal, tanh_c, d_h, d_h * gate.w * (1.0 - tanh_c * tanh_c));
}

fn take_step(row: vec2<u32>, step: u32, lane: u32) {
    let h = dims.h;
    let kept = kept_of(row, step);
    let own = row.x * 8u * h;
    let frame = frame_of(row, step);
    let saved = before_of(kept);
    let stats = saved + 2u * h;
    var sum = vec2(0.0);
    for (var u = lane; u < h; u += WG) {
        let end = end_of(row, frame, saved, u);
        sums[own + 6u * h + u] += end.d * end.normal;
        sums[own + 7u * h + u] += end.d;
        let g = end.d * cell_gain_of(u).x;
        sum += vec2(g, g * end.normal);
    }
    let of_c = sums_of(lane, sum.x, sum.y);
    sum = vec2(0.0);
    for (var u = lane; u < h; u += WG) {
        let end = end_of(row, frame, saved, u);
        let through = end.d * cell_gain_of(u).x - (of_c.a + end.normal * of_c.b) / f32(h);
        let d_c = sums[own + h + u] + before[stats + 3u] * through;
        let d_a = cell_backward(end.gate, end.c, d_c, end.d_h, end.tanh_c);
        sums[own + u] = 0.0;
        sums[own + h + u] = d_c * end.gate.y;
        gates[frame * h + u] = d_a;
        let normal = (z[kept * h + u] - before[stats]) * before[stats + 1u];
        for (var j = 0u; j < 4u; j++) { sums[own + 2u * h + 4u * u + j] += d_a[j] * normal[j]; }
        let g = d_a * gain_of(u);
        sum += vec2(dot(g, vec4(1.0)), dot(g, normal));
    }
    let of_z = sums_of(lane, sum.x, sum.y);
    for (var u = lane; u < h; u += WG) {
        let at = kept * h + u;
        let normal = (z[at] - before[stats]) * before[stats + 1u];
        let g = gates[frame * h + u] * gain_of(u);
        z[at] = before[stats + 1u] * (g - (of_z.a + normal * of_z.b) / f32(4u * h));
    }
    if PRODUCT {
        // The gradient of R h goes to all units of the step before.
        storageBarrier();
        for (var u = lane; u < h; u += WG) {
            var d_h = 0.0;
            for (var to = 0u; to < h; to++) { d_h += dot(z[kept * h + to], rt[to * h + u]); }
            sums[own + u] = d_h;
        }
    }
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let slot = linear_index(group, groups, 0u, 1u);
    if slot >= dims.b { return; }
    let row = row_of(slot);
    for (var step = dims.end; step > dims.begin;) {
        step--;
        if step < row.y {
            take_step(row, step, lane);
        } else {
            for (var u = lane; u < dims.h; u += WG) {
                gates[(row.x * dims.t + step) * dims.h + u] = vec4(0.0);
                z[kept_of(row, step) * dims.h + u] = vec4(0.0);
            }
        }
    }
}
