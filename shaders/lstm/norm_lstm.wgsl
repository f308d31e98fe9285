// norm_lstm: all timesteps of a layer-normalised LSTM.
//
//   a = x_part + norm(R h)    c' = f*c + i*g    h' = o*tanh(norm(c'))
//
// Shapes  gates: [B,T,H] of vec4 (i,f,g,o): on entry x_part = norm(W x) + b, on exit activated;
//         r: [H,H] of vec4: [from, to]; norms: [6H]: the gains of R h (four a unit), of c, the
//         shifts of c; z: [B,T,H] of vec4, R h, or [B,H] unless dims.save; before: [B,T,2H+4],
//         if dims.save; y: [B,T,..], if dims.sequences; state: [B,2H], h and c, in and out;
//         lengths: [B], if LENGTHS
// Grid    folded B: a workgroup takes a row, its invocations the units
// Twin    src/ops/lstm/norm.rs
// Source  Ba et al. 2016, arXiv 1607.06450, equations 20 to 22

@group(0) @binding(1) var<storage, read_write> gates: array<vec4<f32>>;  // [B,T,H]
@group(0) @binding(2) var<storage, read> r: array<vec4<f32>>;            // [H,H]: [from, to]
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;      // [B,T,H] or [B,H]
@group(0) @binding(5) var<storage, read_write> before: array<f32>;       // [B,T,2H+4]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;            // [B,T,..]
@group(0) @binding(7) var<storage, read_write> state: array<f32>;        // [B,2H]
@group(0) @binding(8) var<storage, read> lengths: array<u32>;            // [B]

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
    let own = row * 2u * h;
    for (var step = 0u; step < dims.t; step++) {
        let on = step < steps;
        let frame = select(row * dims.t + step, frame_of(row, step, steps), on);
        let z_at = select(row, frame, dims.save != 0u) * h;
        var sum = vec2(0.0);
        if on {
            for (var u = lane; u < h; u += WG) {
                var value = vec4(0.0);
                for (var k = 0u; k < h; k++) { value += state[own + k] * r[k * h + u]; }
                z[z_at + u] = value;
                sum.x += dot(value, vec4(1.0));
            }
        }
        let mean_z = sums_of(lane, sum).x / f32(4u * h);
        sum = vec2(0.0);
        if on {
            for (var u = lane; u < h; u += WG) {
                let d = z[z_at + u] - mean_z;
                sum.x += dot(d, d);
            }
        }
        let root_z = 1.0 / sqrt(sums_of(lane, sum).x / f32(4u * h) + dims.epsilon);
        sum = vec2(0.0);
        if on {
            for (var u = lane; u < h; u += WG) {
                let a = gates[frame * h + u] + gain_of(u) * ((z[z_at + u] - mean_z) * root_z);
                let ifo = sigmoid3(a.xyw);
                let g = tanh1(a.z);
                gates[frame * h + u] = vec4(ifo.xy, g, ifo.z);
                let c = state[own + h + u];
                if dims.save != 0u {
                    before[kept(frame) + u] = state[own + u];
                    before[kept(frame) + h + u] = c;
                }
                let new_c = ifo.y * c + ifo.x * g;
                state[own + h + u] = new_c;
                sum.x += new_c;
            }
        }
        let mean_c = sums_of(lane, sum).x / f32(h);
        sum = vec2(0.0);
        if on {
            for (var u = lane; u < h; u += WG) {
                let d = state[own + h + u] - mean_c;
                sum.x += d * d;
            }
        }
        let root_c = 1.0 / sqrt(sums_of(lane, sum).x / f32(h) + dims.epsilon);
        if on {
            for (var u = lane; u < h; u += WG) {
                let normal = (state[own + h + u] - mean_c) * root_c;
                let value = tanh1(norms[4u * h + u] * normal + norms[5u * h + u]);
                let new_h = gates[frame * h + u].w * value;
                state[own + u] = new_h;
                if dims.sequences != 0u { y[frame * dims.y_stride + dims.y_first + u] = new_h; }
            }
            if lane == 0u && dims.save != 0u {
                let at = kept(frame) + 2u * h;
                before[at] = mean_z;
                before[at + 1u] = root_z;
                before[at + 2u] = mean_c;
                before[at + 3u] = root_c;
            }
        }
        // h goes to all units of the next step.
        storageBarrier();
    }
}
