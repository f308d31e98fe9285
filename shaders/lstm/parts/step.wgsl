// A timestep of an LSTM layer of which each dispatch runs one: where the states come from and go to.

const HANDED_ON = true;

fn h_now(row: u32, unit: u32) -> f32 {
    let here = find_row(row);
    if dims.step >= here.steps { return 0.0; }
    if dims.step == 0u { return initial_h(row, unit); }
    return h_before[place(here, dims.step, unit)];
}

fn c_now(row: u32, unit: u32) -> f32 {
    let here = find_row(row);
    if dims.step >= here.steps { return 0.0; }
    if dims.step == 0u { return initial_c(row, unit); }
    return c_before[place(here, dims.step, unit)];
}

fn end_step(row: u32, unit: u32, a: vec4<f32>) {
    let here = find_row(row);
    let next_state = finish(row, dims.step, unit, a, h_now(row, unit), c_now(row, unit));
    if dims.step + 1u < here.steps {
        let next = place(here, dims.step + 1u, unit);
        h_before[next] = next_state.x;
        c_before[next] = next_state.y;
    } else if dims.step + 1u == here.steps {
        store_state(row, unit, next_state.x, next_state.y);
    }
}
