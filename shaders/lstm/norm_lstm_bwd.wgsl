// norm_lstm_bwd: the gradients of timesteps of a layer-normalised LSTM in one dispatch.
//
// Shapes  gates: [B,T,H] of vec4: on entry activated, on exit d_a, the gradient of x_part; rt: [H,H] of
//         vec4: [to, from]; norms, before, rows: as in norm_lstm; z: [T,B,H] of vec4: on entry R h, on
//         exit its gradient; d_y: [B,T,..], if dims.sequences; sums: [B,8H]: d_h and d_c, on entry of
//         the last state, on exit of the first; then the gradient of the norms, added to, for all rows
//         of a workgroup in one of them. Past a row's end d_a and the gradient of R h are 0.
// Grid    folded ceil(B/4): a workgroup takes four rows through the steps, an invocation a unit; the
//         gradient of R h in shared memory, d_h and d_c in registers, R^T from the cache
// Twin    src/ops/lstm/norm/cpu/

@group(0) @binding(2) var<storage, read> rt: array<vec4<f32>>;       // [H,H]: [to, from]
@group(0) @binding(5) var<storage, read> before: array<f32>;         // [T,B,2H+4]
@group(0) @binding(6) var<storage, read> d_y: array<f32>;            // [B,T,..]
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;     // [B,8H]
@group(0) @binding(8) var<storage, read_write> z: array<vec4<f32>>;  // [T,B,H]

// What unit `to` adds to a unit's d_h, of four rows.
fn product(to: u32, unit: u32) -> vec4<f32> {
    let w = rt[to * dims.h + unit];
    return work[to] * w.x + work[WG + to] * w.y + work[2u * WG + to] * w.z + work[3u * WG + to] * w.w;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = 4u * linear_index(group, groups, 0u, 1u);
    if first >= dims.b { return; }
    let h = dims.h;
    let inside = lane < h;
    let unit = min(lane, h - 1u);
    let gain = gain_of(unit);
    let cell_gain = cell_gain_of(unit);
    //@ for j in 0..4
    let row$j = row_of(first + $ju);
    let own$j = row$j.x * 8u * h + unit;
    //@ end
    var d_h4 = vec4(sums[own0], sums[own1], sums[own2], sums[own3]);
    var d_c4 = vec4(sums[own0 + h], sums[own1 + h], sums[own2 + h], sums[own3 + h]);
    // The gradients of the norms: of up to sixteen steps, then of all, so that few terms are added to
    // what is large.
    var low_gain = vec4(0.0);
    var low_cell = vec2(0.0);
    var all_gain = vec4(0.0);
    var all_cell = vec2(0.0);
    for (var step = dims.end; step > dims.begin;) {
        step--;
        //@ for j in 0..4
        if inside && first + $ju < dims.b && step >= row$j.y {
            gates[(row$j.x * dims.t + step) * h + unit] = vec4(0.0);
            z[kept_of(row$j, step) * h + unit] = vec4(0.0);
        }
        //@ end
        // The first row is the longest.
        if step >= row0.y { continue; }
        var normal4 = vec4(0.0);
        var tanh4 = vec4(0.0);
        var arriving4 = vec4(0.0);
        var d4 = vec4(0.0);
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        let on$j = inside && step < row$j.y;
        let frame$j = frame_of(row$j, step);
        let kept$j = kept_of(row$j, step);
        var gate$j = vec4(0.0);
        var c$j = 0.0;
        if on$j {
            gate$j = gates[frame$j * h + unit];
            let saved = before_of(kept$j);
            c$j = before[saved + h + unit];
            let new_c = gate$j.y * c$j + gate$j.x * gate$j.z;
            normal4.$c = (new_c - before[saved + 2u * h + 2u]) * before[saved + 2u * h + 3u];
            tanh4.$c = tanh1(cell_gain.x * normal4.$c + cell_gain.y);
            arriving4.$c = d_h4.$c;
            if dims.sequences != 0u { arriving4.$c += d_y[y_of(frame$j) + unit]; }
            d4.$c = arriving4.$c * gate$j.w * (1.0 - tanh4.$c * tanh4.$c);
        }
        //@ end
        low_cell += vec2(dot(d4, normal4), dot(d4, vec4(1.0)));
        let g4 = d4 * cell_gain.x;
        let of_c = sums_of(lane, g4, g4 * normal4);
        var sum4 = vec4(0.0);
        var dot4 = vec4(0.0);
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        var root$j = 0.0;
        var d_z$j = vec4(0.0);
        var normal$j = vec4(0.0);
        if on$j {
            let stats = before_of(kept$j) + 2u * h;
            root$j = before[stats + 1u];
            let through = g4.$c - (of_c.a.$c + normal4.$c * of_c.b.$c) / f32(h);
            let d_c = d_c4.$c + before[stats + 3u] * through;
            let d_a = cell_backward(gate$j, c$j, d_c, arriving4.$c, tanh4.$c);
            d_c4.$c = d_c * gate$j.y;
            gates[frame$j * h + unit] = d_a;
            normal$j = (z[kept$j * h + unit] - before[stats]) * root$j;
            low_gain += d_a * normal$j;
            d_z$j = d_a * gain;
            sum4.$c = dot(d_z$j, vec4(1.0));
            dot4.$c = dot(d_z$j, normal$j);
        }
        //@ end
        if step % 16u == 0u {
            all_gain += low_gain;
            all_cell += low_cell;
            low_gain = vec4(0.0);
            low_cell = vec2(0.0);
        }
        let of_z = sums_of(lane, sum4, dot4);
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        if on$j {
            d_z$j = root$j * (d_z$j - (of_z.a.$c + normal$j * of_z.b.$c) / f32(4u * h));
            z[kept$j * h + unit] = d_z$j;
        }
        //@ end
        // The sums were read by all.
        workgroupBarrier();
        let by_gate = transpose(mat4x4(d_z0, d_z1, d_z2, d_z3));
        //@ for g in 0..4
        work[$gu * WG + lane] = by_gate[$g];
        //@ end
        workgroupBarrier();
        var d = vec4(0.0);
        // Four at a time, so that four loads of R^T are on their way.
        let whole = h - h % 4u;
        for (var to = 0u; to < whole; to += 4u) {
            d += product(to, unit);
            d += product(to + 1u, unit);
            d += product(to + 2u, unit);
            d += product(to + 3u, unit);
        }
        for (var to = whole; to < h; to++) { d += product(to, unit); }
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        if on$j { d_h4.$c = d.$c; }
        //@ end
        workgroupBarrier();
    }
    if !inside { return; }
    //@ for j c in 0 x, 1 y, 2 z, 3 w
    if row$j.y > 0u {
        sums[own$j] = d_h4.$c;
        sums[own$j + h] = d_c4.$c;
    }
    //@ end
    all_gain += low_gain;
    all_cell += low_cell;
    let of_norms = row0.x * 8u * h + 2u * h;
    //@ for g in 0..4
    sums[of_norms + 4u * unit + $gu] += all_gain[$g];
    //@ end
    sums[of_norms + 4u * h + unit] += all_cell.x;
    sums[of_norms + 5u * h + unit] += all_cell.y;
}
