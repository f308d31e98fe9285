// norm_lstm_bwd: the gradients of a layer-normalised LSTM.
//
// Shapes  gates: [B,T,H] of vec4: on entry activated, on exit d_a, the gradient of x_part; rt:
//         [H,H] of vec4: [to, from]; norms, before: as in norm_lstm; z: [B,T,H] of vec4: on entry
//         R h, on exit its gradient; d_y: [B,T,..], if dims.sequences; sums: [B,8H]: d_h and d_c, on
//         entry of the last state, on exit of the first; then the gradient of the norms, added to.
//         Past a row's end d_a and the gradient of R h are 0.
// Grid    folded B: a workgroup takes a row, its invocations the units
// Twin    src/ops/lstm/norm.rs

@group(0) @binding(1) var<storage, read_write> gates: array<vec4<f32>>;  // [B,T,H]
@group(0) @binding(2) var<storage, read> rt: array<vec4<f32>>;           // [H,H]: [to, from]
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;      // [B,T,H] or [B,H]
@group(0) @binding(5) var<storage, read> before: array<f32>;             // [B,T,2H+4]
@group(0) @binding(6) var<storage, read> d_y: array<f32>;                // [B,T,..]
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;         // [B,8H]
@group(0) @binding(8) var<storage, read> lengths: array<u32>;            // [B]

// A unit's step, up to its cell.
struct End {
    normal: f32,  // c, normalised
    value: f32,   // tanh of it with gain and shift
    d_h: f32,
    d_c: f32,     // times the gain: what reaches the normalised c
}

fn end_of(row: u32, frame: u32, u: u32) -> End {
    let h = dims.h;
    let gate = gates[frame * h + u];
    let stats = kept(frame) + 2u * h;
    let c = gate.y * before[kept(frame) + h + u] + gate.x * gate.z;
    let normal = (c - before[stats + 2u]) * before[stats + 3u];
    let value = tanh1(norms[4u * h + u] * normal + norms[5u * h + u]);
    var d_h = sums[row * 8u * h + u];
    if dims.sequences != 0u { d_h += d_y[frame * dims.y_stride + dims.y_first + u]; }
    return End(normal, value, d_h, d_h * gate.w * (1.0 - value * value));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = linear_index(group, groups, 0u, 1u);
    if row >= dims.b { return; }
    let h = dims.h;
    var steps = dims.t;
    if LENGTHS { steps = lengths[row]; }
    let own = row * 8u * h;
    for (var back = 0u; back < dims.t; back++) {
        let step = dims.t - 1u - back;
        let on = step < steps;
        let frame = select(row * dims.t + step, frame_of(row, step, steps), on);
        var sum = vec2(0.0);
        if on {
            for (var u = lane; u < h; u += WG) {
                let end = end_of(row, frame, u);
                sums[own + 6u * h + u] += end.d_c * end.normal;
                sums[own + 7u * h + u] += end.d_c;
                let g = end.d_c * norms[4u * h + u];
                sum += vec2(g, g * end.normal);
            }
        }
        let of_c = sums_of(lane, sum) / f32(h);
        sum = vec2(0.0);
        if on {
            let stats = kept(frame) + 2u * h;
            for (var u = lane; u < h; u += WG) {
                let end = end_of(row, frame, u);
                let gate = gates[frame * h + u];
                let g = end.d_c * norms[4u * h + u];
                let d_c = sums[own + h + u] + before[stats + 3u] * (g - of_c.x - end.normal * of_c.y);
                let i = gate.x;
                let f = gate.y;
                let o = gate.w;
                let d_a = vec4(
                    d_c * gate.z * i * (1.0 - i),
                    d_c * before[kept(frame) + h + u] * f * (1.0 - f),
                    d_c * i * (1.0 - gate.z * gate.z),
                    end.d_h * end.value * o * (1.0 - o),
                );
                sums[own + h + u] = d_c * f;
                gates[frame * h + u] = d_a;
                let normal = (z[frame * h + u] - before[stats]) * before[stats + 1u];
                for (var j = 0u; j < 4u; j++) { sums[own + 2u * h + 4u * u + j] += d_a[j] * normal[j]; }
                let g_z = d_a * gain_of(u);
                sum += vec2(dot(g_z, vec4(1.0)), dot(g_z, normal));
            }
        }
        let of_z = sums_of(lane, sum) / f32(4u * h);
        for (var u = lane; u < h; u += WG) {
            let at = frame * h + u;
            if on {
                let stats = kept(frame) + 2u * h;
                let normal = (z[at] - before[stats]) * before[stats + 1u];
                z[at] = before[stats + 1u] * (gates[at] * gain_of(u) - of_z.x - normal * of_z.y);
            } else {
                gates[at] = vec4(0.0);
                z[at] = vec4(0.0);
            }
        }
        // The gradient of R h goes to all units of the step before.
        storageBarrier();
        if on {
            for (var u = lane; u < h; u += WG) {
                var d_h = 0.0;
                for (var to = 0u; to < h; to++) { d_h += dot(z[frame * h + to], rt[to * h + u]); }
                sums[own + u] = d_h;
            }
        }
        storageBarrier();
    }
}
