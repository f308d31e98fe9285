// By its bits: a compiler may take `x != x` for false.
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// y, or a NaN if x is one.
fn keep_nan(x: f32, y: f32) -> f32 { return select(y, x, is_nan(x)); }

// As exp and log, of a NaN a NaN: some drivers make a number of it.
fn exp1(x: f32) -> f32 { return keep_nan(x, exp(x)); }
fn log1(x: f32) -> f32 { return keep_nan(x, log(x)); }
