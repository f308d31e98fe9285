// norm_lstm: timesteps of a layer-normalised LSTM in one dispatch.
//
//   a = x_part + norm(R h)    c' = f*c + i*g    h' = o*tanh(norm(c'))
//
// Shapes  gates: [B,T,H] of vec4 (i,f,g,o): on entry x_part = norm(W x) + b, on exit, if dims.save,
//         activated; r: [H,H] of vec4: [from, to]; norms: [6H]: the gains of R h (four a unit), of c,
//         the shifts of c; z: [T,B,H] of vec4, R h, and before: [T,B,2H+4], if dims.save; y: [B,T,..],
//         if dims.sequences; state: [B,2H], h and c, in and out; rows: [B,3]: row, length and more, the
//         longest first, if dims.ragged
// Grid    folded ceil(B/4): a workgroup takes four rows through the steps, an invocation a unit; h in
//         shared memory, c in registers; R from the cache, each value for all four rows
// Twin    src/ops/lstm/norm/cpu/
// Source  Ba et al. 2016, arXiv 1607.06450, equations 20 to 22

@group(0) @binding(2) var<storage, read> r: array<vec4<f32>>;        // [H,H]: [from, to]
@group(0) @binding(5) var<storage, read_write> before: array<f32>;   // [T,B,2H+4]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;        // [B,T,..]
@group(0) @binding(7) var<storage, read_write> state: array<f32>;    // [B,2H]
@group(0) @binding(8) var<storage, read_write> z: array<vec4<f32>>;  // [T,B,H]

// What unit k of the step before adds to a unit's gates, of four rows.
fn product(k: u32, unit: u32) -> mat4x4<f32> {
    let w = r[k * dims.h + unit];
    let h4 = work[k];
    return mat4x4(h4 * w.x, h4 * w.y, h4 * w.z, h4 * w.w);
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
    // Units past the last one have its sums, which nobody keeps.
    let unit = min(lane, h - 1u);
    let gain = gain_of(unit);
    let cell_gain = cell_gain_of(unit);
    //@ for j in 0..4
    let row$j = row_of(first + $ju);
    let own$j = row$j.x * 2u * h + unit;
    //@ end
    var h4 = vec4(state[own0], state[own1], state[own2], state[own3]);
    var c4 = vec4(state[own0 + h], state[own1 + h], state[own2 + h], state[own3 + h]);
    var o4 = vec4(0.0);
    work[lane] = h4;
    workgroupBarrier();
    // The first row is the longest.
    let end = min(dims.end, row0.y);
    for (var step = dims.begin; step < end; step++) {
        // By gates: column g is gate g of the rows.
        var a: mat4x4<f32>;
        // Four at a time, so that four loads of R are on their way.
        let whole = h - h % 4u;
        for (var k = 0u; k < whole; k += 4u) {
            a += product(k, unit);
            a += product(k + 1u, unit);
            a += product(k + 2u, unit);
            a += product(k + 3u, unit);
        }
        for (var k = whole; k < h; k++) { a += product(k, unit); }
        let mean = (a[0] + a[1] + a[2] + a[3]) / 4.0;
        var squares = vec4(0.0);
        if inside {
            //@ for g in 0..4
            let d$g = a[$g] - mean;
            //@ end
            squares = d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3;
        }
        let of_z = moments_of(lane, 4.0, mean, squares);
        let by_row = transpose(a);
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        if inside && step < row$j.y {
            let at = frame_of(row$j, step) * h + unit;
            let normal = (by_row[$j] - of_z.mean.$c) * of_z.root.$c;
            let cell = cell_forward(gates[at] + gain * normal, c4.$c);
            if dims.save != 0u {
                let kept = kept_of(row$j, step);
                gates[at] = cell.gates;
                z[kept * h + unit] = by_row[$j];
                before[before_of(kept) + unit] = h4.$c;
                before[before_of(kept) + h + unit] = c4.$c;
            }
            c4.$c = cell.c;
            o4.$c = cell.gates.w;
        }
        //@ end
        let of_c = moments_of(lane, 1.0, c4, vec4(0.0));
        //@ for j c in 0 x, 1 y, 2 z, 3 w
        if inside && step < row$j.y {
            let normal = (c4.$c - of_c.mean.$c) * of_c.root.$c;
            h4.$c = o4.$c * tanh1(cell_gain.x * normal + cell_gain.y);
            if dims.sequences != 0u { y[y_of(frame_of(row$j, step)) + unit] = h4.$c; }
            if lane == 0u && dims.save != 0u {
                let at = before_of(kept_of(row$j, step)) + 2u * h;
                before[at] = of_z.mean.$c;
                before[at + 1u] = of_z.root.$c;
                before[at + 2u] = of_c.mean.$c;
                before[at + 3u] = of_c.root.$c;
            }
        }
        //@ end
        work[lane] = h4;
        workgroupBarrier();
    }
    //@ for j c in 0 x, 1 y, 2 z, 3 w
    if inside && row$j.y > 0u {
        state[own$j] = h4.$c;
        state[own$j + h] = c4.$c;
    }
    //@ end
}
