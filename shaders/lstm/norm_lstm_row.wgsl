// norm_lstm_row: timesteps of a layer-normalised LSTM, row by row: a step behind a product R h of all rows,
// or any number of them.
//
//   a = x_part + norm(R h)    c' = f*c + i*g    h' = o*tanh(norm(c'))
//
// Shapes  as in norm_lstm; z: [T,B,H] of vec4, or [B,H] without dims.save: R h, which is there on entry
//         unless PRODUCT; gates: without dims.save on exit o alone is activated
// Grid    folded B: a workgroup takes a row, an invocation units that are WG apart
// Twin    src/ops/lstm/norm/cpu/
// Source  Ba et al. 2016, arXiv 1607.06450, equations 20 to 22

override PRODUCT: bool;  // whether R h is computed here

@group(0) @binding(2) var<storage, read_write> z: array<vec4<f32>>;  // [T,B,H] or [B,H]
@group(0) @binding(5) var<storage, read_write> before: array<f32>;   // [T,B,2H+4]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;        // [B,T,..]
@group(0) @binding(7) var<storage, read_write> state: array<f32>;    // [B,2H]
@group(0) @binding(8) var<storage, read> r: array<vec4<f32>>;        // [H,H]: [from, to], if PRODUCT

fn take_step(row: vec2<u32>, step: u32, lane: u32) {
    let h = dims.h;
    let own = row.x * 2u * h;
    let frame = frame_of(row, step);
    let kept = kept_of(row, step);
    let saved = before_of(kept);
    // The mean of what was seen so far, and the squares about it.
    var n = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var u = lane; u < h; u += WG) {
        var here = vec4(0.0);
        if PRODUCT {
            for (var k = 0u; k < h; k++) { here += state[own + k] * r[k * h + u]; }
            z[kept * h + u] = here;
        } else {
            here = z[kept * h + u];
        }
        let middle = dot(here, vec4(0.25));
        let d = here - middle;
        let apart = middle - mean;
        let share = 4.0 / (n + 4.0);
        squares += dot(d, d) + apart * apart * (n * share);
        mean += apart * share;
        n += 4.0;
    }
    let of_z = moments_of(lane, 4.0, mean, squares);
    n = 0.0;
    mean = 0.0;
    squares = 0.0;
    for (var u = lane; u < h; u += WG) {
        let normal = (z[kept * h + u] - of_z.mean) * of_z.root;
        let c = state[own + h + u];
        let cell = cell_forward(gates[frame * h + u] + gain_of(u) * normal, c);
        state[own + h + u] = cell.c;
        if dims.save != 0u {
            gates[frame * h + u] = cell.gates;
            before[saved + u] = state[own + u];
            before[saved + h + u] = c;
        } else {
            gates[frame * h + u].w = cell.gates.w;
        }
        let apart = cell.c - mean;
        n += 1.0;
        mean += apart / n;
        squares += apart * apart * ((n - 1.0) / n);
    }
    let of_c = moments_of(lane, 1.0, mean, squares);
    for (var u = lane; u < h; u += WG) {
        let normal = (state[own + h + u] - of_c.mean) * of_c.root;
        let cell_gain = cell_gain_of(u);
        let new_h = gates[frame * h + u].w * tanh1(cell_gain.x * normal + cell_gain.y);
        state[own + u] = new_h;
        if dims.sequences != 0u { y[y_of(frame) + u] = new_h; }
    }
    if lane == 0u && dims.save != 0u {
        before[saved + 2u * h] = of_z.mean;
        before[saved + 2u * h + 1u] = of_z.root;
        before[saved + 2u * h + 2u] = of_c.mean;
        before[saved + 2u * h + 3u] = of_c.root;
    }
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(linear_index(group, groups, 0u, 1u));
    let end = min(dims.end, row.y);
    for (var step = dims.begin; step < end; step++) {
        take_step(row, step, lane);
        // h goes to all units of the next step.
        storageBarrier();
    }
}
