// The LSTM cell: what one unit computes in one timestep.
//
//   i,f,o = sigmoid(a.xyw)    g = tanh(a.z)    c' = f*c + i*g    h' = o*tanh(c')
//
// A vec4 holds the gates i, f, g, o of one unit.
// Source  Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; forget gate: Gers et al. 2000

const VARIANT = false;

struct Cell { gates: vec4<f32>, c: f32, h: f32 }

fn cell_forward(a: vec4<f32>, c_prev: f32, unit: u32) -> Cell {
    let ifo = sigmoid3(a.xyw);
    let g = tanh1(a.z);
    let c = ifo.y * c_prev + ifo.x * g;
    return Cell(vec4(ifo.xy, g, ifo.z), c, ifo.z * tanh1(c));
}

struct CellGradient { d_a: vec4<f32>, d_c_prev: f32, d_peepholes: vec4<f32> }

// From the saved gates and c_prev, and the gradients of h' and c'.
fn cell_backward(gates: vec4<f32>, c_prev: f32, d_h: f32, d_c: f32, unit: u32) -> CellGradient {
    let i = gates.x;
    let f = gates.y;
    let g = gates.z;
    let o = gates.w;
    let tanh_c = tanh1(f * c_prev + i * g);
    let d_cell = d_c + d_h * o * (1.0 - tanh_c * tanh_c);
    let d_a = vec4(
        d_cell * g * i * (1.0 - i),
        d_cell * c_prev * f * (1.0 - f),
        d_cell * i * (1.0 - g * g),
        d_h * tanh_c * o * (1.0 - o),
    );
    return CellGradient(d_a, d_cell * f, vec4(0.0));
}

// What lstm/cell/variant.wgsl has more: all of h meets R, nothing stays.
fn recurrent_scale(row: Row, unit: u32) -> f32 { return 1.0; }
fn has_zoneout() -> bool { return false; }
fn zoneout(row: Row, step: u32, unit: u32) -> vec2<f32> { return vec2(0.0); }
