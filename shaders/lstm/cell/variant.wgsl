// The LSTM cell with all that ONNX, Keras, cuDNN and TensorFlow Lite let one change.
//
//   a_i += p_i c    a_f += p_f c    i,f = recurrent(clip(a))    g = input(clip(a_g))
//   c' = clip_c(f*c + i*g)          a_o += p_o c'               o = recurrent(clip(a_o))
//   h' = o*output(c')
//
// coupled: 1: i = 1 - f; 2: f = 1 - i.
// Source  ONNX operator LSTM; peepholes: Gers & Schmidhuber 2000; coupled gates: Greff et al. 2017

const VARIANT = true;

// The gates as they are kept: see `kept`.
struct Cell { gates: vec4<f32>, c: f32, h: f32 }

struct CellGradient { d_a: vec4<f32>, d_c_prev: f32, d_peepholes: vec4<f32> }

// Between -limit and limit; a NaN stays one, which clamp does not promise.
fn clip(x: f32, limit: f32) -> f32 { return keep_nan(x, clamp(x, -limit, limit)); }

// The kinds of src/ops/lstm/cell/options.rs.
fn activate(kind: u32, alpha: f32, beta: f32, x: f32) -> f32 {
    // A driver may make a minimum or a maximum of the comparisons below, and those a number of a NaN.
    if is_nan(x) { return x; }
    switch kind {
        case 0u: { return sigmoid1(x); }
        case 1u: { return tanh1(x); }
        case 2u: { return select(x, 0.0, x < 0.0); }
        case 3u: { return alpha * x + beta; }
        case 4u: {
            let y = alpha * x + beta;
            return select(select(y, 1.0, y > 1.0), 0.0, y < 0.0);
        }
        case 5u: { return select(x, alpha * x, x < 0.0); }
        case 6u: { return alpha * tanh1(beta * x); }
        case 7u: { return select(x, alpha * (exp(min(x, 0.0)) - 1.0), x < 0.0); }
        case 8u: { return x / (1.0 + abs(x)); }
        case 9u: { return softplus1(x); }
        default: { return select(x, 0.0, x <= alpha); }
    }
}

// Its slope, from its value.
fn slope(kind: u32, alpha: f32, beta: f32, y: f32) -> f32 {
    // The comparisons below would make a number of a NaN.
    if kind != 3u && is_nan(y) { return y; }
    switch kind {
        case 0u: { return y * (1.0 - y); }
        case 1u: { return 1.0 - y * y; }
        case 2u: { return select(1.0, 0.0, y <= 0.0); }
        case 3u: { return alpha; }
        case 4u: { return select(alpha, 0.0, y <= 0.0 || y >= 1.0); }
        case 5u: { return select(1.0, alpha, y < 0.0); }
        case 6u: { return beta * (alpha - y * y / alpha); }
        case 7u: { return select(1.0, y + alpha, y < 0.0); }
        case 8u: {
            let rest = 1.0 - abs(y);
            return rest * rest;
        }
        case 9u: { return 1.0 - exp(-y); }
        default: { return select(1.0, 0.0, y == 0.0); }
    }
}

// Which values the gates have where the clip holds a sum, low and high. The host's: four more copies of
// activate take SwiftShader minutes to compile.
fn held_gate() -> vec2<f32> { return vec2(dims.held_low, dims.held_high); }
fn held_input() -> vec2<f32> { return vec2(dims.held_g_low, dims.held_g_high); }

// A value as it is kept for the backward pass, which tells from it alone whether the clip held x. One
// that only comes close, and that rounding would make the same, is kept a step of rounding away.
fn kept(held: vec2<f32>, x: f32, y: f32) -> f32 {
    if abs(x) > dims.clip { return y; }
    let step = max(2.0 * HALF_STEP.x * abs(held), vec2(2.0 * HALF_STEP.y));
    return keep_nan(y, clamp(y, min(held.x + step.x, held.y), max(held.y - step.y, held.x)));
}

// The slope of activate(clip(x)), given that of activate(x): none where the clip holds x.
fn unless_held(held: vec2<f32>, y: f32, s: f32) -> f32 {
    let near = max(HALF_STEP.x * abs(held), vec2(HALF_STEP.y));
    return keep_nan(y, select(s, 0.0, y >= held.y - near.y || y <= held.x + near.x));
}

fn gate(a: f32) -> f32 {
    return activate(dims.recurrent, dims.recurrent_alpha, dims.recurrent_beta, clip(a, dims.clip));
}

fn gate_slope(y: f32) -> f32 {
    return slope(dims.recurrent, dims.recurrent_alpha, dims.recurrent_beta, y);
}

fn peephole(unit: u32) -> vec4<f32> {
    if dims.peepholes == 0u { return vec4(0.0); }
    return peepholes[way * dims.p_way + unit];
}

fn cell_forward(a: vec4<f32>, c_prev: f32, unit: u32) -> Cell {
    let p = peephole(unit);
    let a_i = a.x + p.x * c_prev;
    let a_f = a.y + p.y * c_prev;
    var i = gate(a_i);
    var f = gate(a_f);
    if dims.coupled == 1u { i = 1.0 - f; }
    if dims.coupled == 2u { f = 1.0 - i; }
    let g = activate(dims.input, dims.input_alpha, dims.input_beta, clip(a.z, dims.clip));
    let c = clip(f * c_prev + i * g, dims.cell_clip);
    let a_o = a.w + p.w * c;
    let o = gate(a_o);
    let h = o * activate(dims.output, dims.output_alpha, dims.output_beta, c);
    if dims.clip >= 3e38 { return Cell(vec4(i, f, g, o), c, h); }
    let held = held_gate();
    let held_g = held_input();
    var gates = vec4(kept(held, a_i, i), kept(held, a_f, f), kept(held_g, a.z, g), kept(held, a_o, o));
    if dims.coupled == 1u { gates.x = 1.0 - gates.y; }
    if dims.coupled == 2u { gates.y = 1.0 - gates.x; }
    return Cell(gates, c, h);
}

fn cell_backward(gates: vec4<f32>, c_prev: f32, d_h: f32, d_c: f32, unit: u32) -> CellGradient {
    let p = peephole(unit);
    let i = gates.x;
    let f = gates.y;
    let g = gates.z;
    let o = gates.w;
    let raw = f * c_prev + i * g;
    let c = clip(raw, dims.cell_clip);
    let out = activate(dims.output, dims.output_alpha, dims.output_beta, c);
    var slopes = vec4(
        gate_slope(i), gate_slope(f),
        slope(dims.input, dims.input_alpha, dims.input_beta, g), gate_slope(o),
    );
    if dims.clip < 3e38 {
        let held = held_gate();
        let held_g = held_input();
        slopes = vec4(
            unless_held(held, i, slopes.x), unless_held(held, f, slopes.y),
            unless_held(held_g, g, slopes.z), unless_held(held, o, slopes.w),
        );
    }
    let d_o = d_h * out * slopes.w;
    var d_cell = d_c + d_h * o * slope(dims.output, dims.output_alpha, dims.output_beta, out) + d_o * p.w;
    if abs(raw) > dims.cell_clip { d_cell = 0.0; }
    if dims.cell_clip < 3e38 { d_cell = select(d_cell, raw, is_nan(raw)); }
    var d_i = d_cell * g;
    var d_f = d_cell * c_prev;
    if dims.coupled == 1u { d_f -= d_i; d_i = 0.0; }
    if dims.coupled == 2u { d_i -= d_f; d_f = 0.0; }
    // A gate that follows the other has no slope of its own.
    if dims.coupled != 1u { d_i *= slopes.x; }
    if dims.coupled != 2u { d_f *= slopes.y; }
    let d_g = d_cell * i * slopes.z;
    let d_p = vec4(d_i * c_prev, d_f * c_prev, 0.0, d_o * c);
    return CellGradient(vec4(d_i, d_f, d_g, d_o), d_cell * f + d_i * p.x + d_f * p.y, d_p);
}

fn key() -> vec2<u32> {
    return select(vec2(dims.key0, dims.key1), vec2(dims.key2, dims.key3), way == 1u);
}

// What dropout makes of h on its way to the next step: the same at every step.
fn recurrent_scale(row: Row, unit: u32) -> f32 {
    if dims.dropout == 0.0 || dims.training == 0u { return 1.0; }
    let random = unit_floats(threefry(key(), vec2(row.at * dims.h + unit, 0u)));
    return select(1.0 / (1.0 - dims.dropout), 0.0, random.x < dims.dropout);
}

fn has_zoneout() -> bool { return dims.zoneout_h != 0.0 || dims.zoneout_c != 0.0; }

// How much of h and c stays as it was: all or nothing in training, else the mean of that.
fn zoneout(row: Row, step: u32, unit: u32) -> vec2<f32> {
    let share = vec2(dims.zoneout_h, dims.zoneout_c);
    if dims.training == 0u || all(share == vec2(0.0)) { return share; }
    let counter = vec2(batch_frame(row, step) * dims.h + unit, 1u);
    let random = unit_floats(threefry(key(), counter));
    return select(vec2(0.0), vec2(1.0), random < share);
}
