// Which timesteps of a row count: all, those before its length, or those of a mask.

override STEPS: u32;

fn counts(row: u32, t: u32, timesteps: u32) -> bool {
    switch STEPS {
        case 0u: { return true; }
        case 1u: { return t < steps[row]; }
        default: { return steps[row * timesteps + t] != 0u; }
    }
}
