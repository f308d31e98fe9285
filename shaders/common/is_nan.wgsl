// By its bits: a compiler may take `x != x` for false.
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// y, or a NaN if x is one.
fn keep_nan(x: f32, y: f32) -> f32 { return select(y, x, is_nan(x)); }

// The larger; a NaN if either is one. A driver may make a bare comparison with a select a maximum, and that a
// number of a NaN.
fn larger(a: f32, b: f32) -> f32 { return select(b, a, is_nan(a) || (a > b && !is_nan(b))); }

// As exp and log, of a NaN a NaN: some drivers make a number of it.
fn exp1(x: f32) -> f32 { return keep_nan(x, exp(x)); }
fn log1(x: f32) -> f32 { return keep_nan(x, log(x)); }
