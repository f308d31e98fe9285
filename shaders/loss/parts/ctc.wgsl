// What both passes of connectionist temporal classification share: the states of a row are its
// labels with a blank before, between and behind them.

// The logarithm of nothing.
const NEVER: f32 = -1e30;

struct Dims {
    n: u32, t: u32, c: u32, longest: u32, blank: u32,
    impossible: f32,  // the loss of a row that no path says
    slope: f32,       // the gradient at each of its frames
    each: u32,        // 1 if each row's loss has a gradient of its own, else 0
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> lp: array<f32>;      // [B,T,C]
@group(0) @binding(2) var<storage, read> labels: array<u32>;  // [B,L,3]: label, first, next + 1
@group(0) @binding(3) var<storage, read> rows: array<u32>;    // [B,2]: frames, labels
@group(0) @binding(4) var<storage, read> scales: array<f32>;  // [B]

fn label_of(row: u32, s: u32) -> u32 {
    if s % 2u == 0u { return dims.blank; }
    return labels[(row * dims.longest + s / 2u) * 3u];
}

// Whether a path may go from state s - 2 to s.
fn skips(row: u32, s: u32) -> bool {
    if s < 2u || s % 2u == 0u { return false; }
    return label_of(row, s) != label_of(row, s - 2u);
}

fn log_of(row: u32, t: u32, s: u32) -> f32 {
    return at_least(lp[(row * dims.t + t) * dims.c + label_of(row, s)]);
}

// Nothing is less likely than NEVER. A NaN stays: a driver may take the bare comparison for a maximum.
fn at_least(x: f32) -> f32 { return select(x, NEVER, x < NEVER && !is_nan(x)); }

fn is_never(x: f32) -> bool { return x <= 0.5 * NEVER && !is_nan(x); }

fn log_sum(a: f32, b: f32, c: f32) -> f32 {
    let largest = larger(larger(a, b), c);
    if is_never(largest) { return NEVER; }
    return largest + log1(exp1(a - largest) + exp1(b - largest) + exp1(c - largest));
}
