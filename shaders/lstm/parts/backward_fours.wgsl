// What lstm/parts/backward.wgsl has of a row, for 4 rows from `row` on.

fn d_c_after(row: u32, unit: u32) -> vec4<f32> {
    var d_c = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
        let here = find_row(row + j);
        if here.steps > 0u { d_c[j] = d_state[d_c_place(here, unit)]; }
    }
    return d_c;
}

// Ends the pass: d_h_rec and d_c of the state before the first step.
fn end4(row: u32, unit: u32, d_h_rec: vec4<f32>, d_c: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let here = find_row(row + j);
        if here.steps > 0u {
            d_state[d_c_place(here, unit)] = d_c[j];
            if dims.before != 0u { end_d_h(row + j, unit, d_h_rec[j]); }
        }
    }
}

// d_a by gates: column g is gate g of the rows.
struct Carry4 { d_a: mat4x4<f32>, d_c: vec4<f32> }

fn differentiate4(row: u32, step: u32, unit: u32, d_h: vec4<f32>, d_c: vec4<f32>) -> Carry4 {
    if VARIANT {
        var by_row: mat4x4<f32>;
        var all: Carry4;
        for (var j = 0u; j < rolled(4u); j++) {
            let e = differentiate(row + j, step, unit, d_h[j], d_c[j]);
            by_row[j] = e.d_a;
            all.d_c[j] = e.d_c;
        }
        all.d_a = transpose(by_row);
        return all;
    }
    let e0 = differentiate(row, step, unit, d_h.x, d_c.x);
    let e1 = differentiate(row + 1u, step, unit, d_h.y, d_c.y);
    let e2 = differentiate(row + 2u, step, unit, d_h.z, d_c.z);
    let e3 = differentiate(row + 3u, step, unit, d_h.w, d_c.w);
    let d_a = transpose(mat4x4(e0.d_a, e1.d_a, e2.d_a, e3.d_a));
    return Carry4(d_a, vec4(e0.d_c, e1.d_c, e2.d_c, e3.d_c));
}
