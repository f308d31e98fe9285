// A timestep of an LSTM layer's backward pass, of which each dispatch runs one: where gradients come from and go to.

// The step behind this one in time, whose d_a is read.
fn step_behind() -> u32 {
    return select(dims.step + 1u, 0u, dims.before != 0u);
}

fn end_step(row: u32, unit: u32, d_h: f32) {
    let here = find_row(row);
    if here.steps == 0u { return; }
    if dims.before != 0u {
        end_d_h(row, unit, d_h);
        return;
    }
    let at = d_c_place(here, unit);
    d_state[at] = differentiate(row, dims.step, unit, d_h, d_state[at]).d_c;
}
