//! An LSTM layer: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), weights
//! in PyTorch's layout, and every way to change it that ONNX and Keras define.

/// An activation as a function of its input, with its slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    Sigmoid,
    Tanh,
    Relu,
    Affine(f64, f64),
    HardSigmoid(f64, f64),
    LeakyRelu(f64),
    ScaledTanh(f64, f64),
    Elu(f64),
    Softsign,
    Softplus,
    ThresholdedRelu(f64),
}

impl Act {
    /// A NaN stays one, which `f64::max` and `f64::min` would take for the smaller of two.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Affine(a, b) => a * x + b,
            Self::HardSigmoid(a, b) => (a * x + b).clamp(0.0, 1.0),
            Self::LeakyRelu(a) => {
                if x < 0.0 {
                    a * x
                } else {
                    x
                }
            }
            Self::ScaledTanh(a, b) => a * (b * x).tanh(),
            Self::Elu(a) => {
                if x < 0.0 {
                    a * (x.exp() - 1.0)
                } else {
                    x
                }
            }
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::ThresholdedRelu(a) => {
                if x <= a {
                    0.0
                } else {
                    x
                }
            }
        }
    }

    /// NaN of a NaN, but for the one whose slope does not depend on x.
    pub fn slope(self, x: f64) -> f64 {
        let on = |on: bool| f64::from(u8::from(on));
        if x.is_nan() && !matches!(self, Self::Affine(..)) {
            return f64::NAN;
        }
        match self {
            Self::Sigmoid => sigmoid(x) * sigmoid(-x),
            Self::Tanh => 1.0 / (x.cosh() * x.cosh()),
            Self::Relu => on(x > 0.0),
            Self::Affine(a, _) => a,
            Self::HardSigmoid(a, b) => a * on((0.0..1.0).contains(&(a * x + b))),
            Self::LeakyRelu(a) => {
                if x < 0.0 {
                    a
                } else {
                    1.0
                }
            }
            Self::ScaledTanh(a, b) => a * b / ((b * x).cosh() * (b * x).cosh()),
            Self::Elu(a) => {
                if x < 0.0 {
                    a * x.exp()
                } else {
                    1.0
                }
            }
            Self::Softsign => (1.0 + x.abs()).powi(-2),
            Self::Softplus => sigmoid(x),
            Self::ThresholdedRelu(a) => on(x > a),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    None,
    /// i = 1 - f.
    InputFollowsForget,
    /// f = 1 - i.
    ForgetFollowsInput,
}

/// How a cell differs from the plain one.
#[derive(Clone, Debug)]
pub struct Cell {
    pub recurrent: Act,
    pub input: Act,
    pub output: Act,
    pub coupling: Coupling,
    pub clip: f64,
    pub cell_clip: f64,
    /// `[3H]`: i, f, o.
    pub peepholes: Option<Vec<f64>>,
    /// `[B,H]`: what h is multiplied with on its way to R.
    pub scale: Option<Vec<f64>>,
    /// `[B,T,H]` each: how much of h and c stays.
    pub stays: Option<[Vec<f64>; 2]>,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            recurrent: Act::Sigmoid,
            input: Act::Tanh,
            output: Act::Tanh,
            coupling: Coupling::None,
            clip: f64::INFINITY,
            cell_clip: f64::INFINITY,
            peepholes: None,
            scale: None,
            stays: None,
        }
    }
}

#[derive(Clone, Default)]
pub struct Lstm {
    pub batch: usize,
    pub timesteps: usize,
    pub input_size: usize,
    pub hidden_size: usize,
    /// `[4H,I]`, gates in the order i, f, g, o.
    pub weight_ih: Vec<f64>,
    /// `[4H,H]`
    pub weight_hh: Vec<f64>,
    /// `[4H]`
    pub bias: Vec<f64>,
    pub lengths: Option<Vec<usize>>,
    /// `[B,T]`: steps that are not left out.
    pub mask: Option<Vec<bool>>,
    /// Whether the output of a step that is left out is 0, not the one before it, of which the first has none.
    pub zero_left_out: bool,
    pub reverse: bool,
    pub cell: Cell,
}

pub struct Outputs {
    /// `[B,T,H]`, zero past a row's length.
    pub y: Vec<f64>,
    pub h_n: Vec<f64>,
    pub c_n: Vec<f64>,
    steps: Vec<Step>,
}

/// One timestep of one row.
struct Step {
    row: usize,
    t: usize,
    left_out: bool,
    /// Whether its output is the state's h, else 0.
    shown: bool,
    /// As R meets it.
    h: Vec<f64>,
    c: Vec<f64>,
    /// What goes into the activations, before the clip.
    a: Vec<f64>,
    gates: Vec<f64>,
    c_raw: Vec<f64>,
}

#[derive(Default)]
pub struct Gradients {
    pub d_x: Vec<f64>,
    pub d_weight_ih: Vec<f64>,
    pub d_weight_hh: Vec<f64>,
    pub d_bias: Vec<f64>,
    pub d_peepholes: Vec<f64>,
    pub d_h_0: Vec<f64>,
    pub d_c_0: Vec<f64>,
}

/// A gradient behind a clip of x: none where it holds, and of a NaN nobody knows whether it does.
fn through(x: f64, clip: f64, gradient: f64) -> f64 {
    if x.is_nan() && clip.is_finite() {
        return f64::NAN;
    }
    if x.abs() > clip { 0.0 } else { gradient }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Lstm {
    fn length(&self, row: usize) -> usize {
        self.lengths.as_ref().map_or(self.timesteps, |l| l[row])
    }

    fn frame<'a>(&self, x: &'a [f64], row: usize, t: usize) -> &'a [f64] {
        &x[(row * self.timesteps + t) * self.input_size..][..self.input_size]
    }

    fn peephole(&self, gate: usize, unit: usize) -> f64 {
        self.cell.peepholes.as_ref().map_or(0.0, |p| p[gate * self.hidden_size + unit])
    }

    fn scale(&self, row: usize, unit: usize) -> f64 {
        self.cell.scale.as_ref().map_or(1.0, |s| s[row * self.hidden_size + unit])
    }

    /// Without zoneout nothing of the old state meets the new one, not even 0 times it.
    fn stays(&self, row: usize, t: usize, unit: usize) -> Option<[f64; 2]> {
        let at = (row * self.timesteps + t) * self.hidden_size + unit;
        self.cell.stays.as_ref().map(|[h, c]| [h[at], c[at]])
    }

    /// The value of a gate's activation, and its slope.
    fn gate(&self, act: Act, a: f64) -> (f64, f64) {
        let clip = self.cell.clip;
        let x = a.clamp(-clip, clip);
        (act.value(x), through(a, clip, act.slope(x)))
    }

    pub fn forward(&self, x: &[f64], h_0: &[f64], c_0: &[f64]) -> Outputs {
        let size = self.hidden_size;
        let cell = &self.cell;
        let mut out = Outputs {
            y: vec![0.0; self.batch * self.timesteps * size],
            h_n: h_0.to_vec(),
            c_n: c_0.to_vec(),
            steps: Vec::new(),
        };
        for row in 0..self.batch {
            let state = row * size..(row + 1) * size;
            let (mut h, mut c) = (h_0[state.clone()].to_vec(), c_0[state.clone()].to_vec());
            let mut order: Vec<_> = (0..self.length(row)).collect();
            if self.reverse {
                order.reverse();
            }
            let mut begun = false;
            for t in order {
                let frame = self.frame(x, row, t);
                let met: Vec<_> = (0..size).map(|u| h[u] * self.scale(row, u)).collect();
                let left_out = self.mask.as_ref().is_some_and(|m| !m[row * self.timesteps + t]);
                begun |= !left_out;
                let mut step = Step {
                    row,
                    t,
                    left_out,
                    shown: !left_out || (begun && !self.zero_left_out),
                    h: met,
                    c: c.clone(),
                    a: vec![0.0; 4 * size],
                    gates: vec![0.0; 4 * size],
                    c_raw: vec![0.0; size],
                };
                if !left_out {
                    for (j, sum) in step.a.iter_mut().enumerate() {
                        *sum = self.bias[j];
                        for (k, v) in frame.iter().enumerate() {
                            *sum += self.weight_ih[j * self.input_size + k] * v;
                        }
                        for (k, v) in step.h.iter().enumerate() {
                            *sum += self.weight_hh[j * size + k] * v;
                        }
                    }
                    for u in 0..size {
                        let [i, f, g, o] = [u, size + u, 2 * size + u, 3 * size + u];
                        step.a[i] += self.peephole(0, u) * c[u];
                        step.a[f] += self.peephole(1, u) * c[u];
                        step.gates[i] = self.gate(cell.recurrent, step.a[i]).0;
                        step.gates[f] = self.gate(cell.recurrent, step.a[f]).0;
                        match cell.coupling {
                            Coupling::None => {}
                            Coupling::InputFollowsForget => step.gates[i] = 1.0 - step.gates[f],
                            Coupling::ForgetFollowsInput => step.gates[f] = 1.0 - step.gates[i],
                        }
                        step.gates[g] = self.gate(cell.input, step.a[g]).0;
                        step.c_raw[u] = step.gates[f] * c[u] + step.gates[i] * step.gates[g];
                        let c_new = step.c_raw[u].clamp(-cell.cell_clip, cell.cell_clip);
                        step.a[o] += self.peephole(2, u) * c_new;
                        step.gates[o] = self.gate(cell.recurrent, step.a[o]).0;
                        let h_new = step.gates[o] * cell.output.value(c_new);
                        (h[u], c[u]) = match self.stays(row, t, u) {
                            None => (h_new, c_new),
                            Some([z_h, z_c]) => {
                                (z_h * h[u] + (1.0 - z_h) * h_new, z_c * c[u] + (1.0 - z_c) * c_new)
                            }
                        };
                    }
                }
                if step.shown {
                    out.y[(row * self.timesteps + t) * size..][..size].copy_from_slice(&h);
                }
                out.steps.push(step);
            }
            out.h_n[state.clone()].copy_from_slice(&h);
            out.c_n[state].copy_from_slice(&c);
        }
        out
    }

    /// The gradients of sum(y d_y) + sum(h_n d_h_n) + sum(c_n d_c_n). `d_y` past a row's length
    /// is not read.
    pub fn backward(
        &self,
        x: &[f64],
        out: &Outputs,
        d_y: &[f64],
        d_h_n: &[f64],
        d_c_n: &[f64],
    ) -> Gradients {
        let size = self.hidden_size;
        let cell = &self.cell;
        let mut d = Gradients {
            d_x: vec![0.0; x.len()],
            d_weight_ih: vec![0.0; self.weight_ih.len()],
            d_weight_hh: vec![0.0; self.weight_hh.len()],
            d_bias: vec![0.0; self.bias.len()],
            d_peepholes: vec![0.0; 3 * size],
            d_h_0: d_h_n.to_vec(),
            d_c_0: d_c_n.to_vec(),
        };
        // d_h_0 and d_c_0 hold the gradient of the state behind the step that is being undone.
        for step in out.steps.iter().rev() {
            let (row, t) = (step.row, step.t);
            let mut d_a = vec![0.0; 4 * size];
            for u in 0..if step.shown { size } else { 0 } {
                d.d_h_0[row * size + u] += d_y[(row * self.timesteps + t) * size + u];
            }
            if step.left_out {
                continue;
            }
            for u in 0..size {
                let places = [u, size + u, 2 * size + u, 3 * size + u];
                let [i, f, g, o] = places.map(|at| step.gates[at]);
                let acts = [cell.recurrent, cell.recurrent, cell.input, cell.recurrent];
                let slopes: [f64; 4] =
                    std::array::from_fn(|j| self.gate(acts[j], step.a[places[j]]).1);
                let (d_h, d_c) = (d.d_h_0[row * size + u], d.d_c_0[row * size + u]);
                let (stays_h, stays_c, d_h, d_c_new) = match self.stays(row, t, u) {
                    None => (0.0, 0.0, d_h, d_c),
                    Some([z_h, z_c]) => {
                        (z_h * d_h, z_c * d_c, (1.0 - z_h) * d_h, (1.0 - z_c) * d_c)
                    }
                };
                d.d_h_0[row * size + u] = stays_h;
                let c_new = step.c_raw[u].clamp(-cell.cell_clip, cell.cell_clip);
                let d_o = d_h * cell.output.value(c_new) * slopes[3];
                let d_cell =
                    d_c_new + d_h * o * cell.output.slope(c_new) + d_o * self.peephole(2, u);
                let d_cell = through(step.c_raw[u], cell.cell_clip, d_cell);
                let (d_i, d_f) = (d_cell * g, d_cell * step.c[u]);
                // What goes into a gate that follows the other is not looked at.
                let (d_i, d_f) = match cell.coupling {
                    Coupling::None => (d_i * slopes[0], d_f * slopes[1]),
                    Coupling::InputFollowsForget => (0.0, (d_f - d_i) * slopes[1]),
                    Coupling::ForgetFollowsInput => ((d_i - d_f) * slopes[0], 0.0),
                };
                for (place, value) in places.iter().zip([d_i, d_f, d_cell * i * slopes[2], d_o]) {
                    d_a[*place] = value;
                }
                d.d_peepholes[u] += d_i * step.c[u];
                d.d_peepholes[size + u] += d_f * step.c[u];
                d.d_peepholes[2 * size + u] += d_o * c_new;
                d.d_c_0[row * size + u] =
                    stays_c + d_cell * f + d_i * self.peephole(0, u) + d_f * self.peephole(1, u);
            }
            let frame = self.frame(x, row, t);
            let d_frame = &mut d.d_x[(row * self.timesteps + t) * self.input_size..];
            for (j, &d_a) in d_a.iter().enumerate() {
                d.d_bias[j] += d_a;
                for (k, &v) in frame.iter().enumerate() {
                    d.d_weight_ih[j * self.input_size + k] += d_a * v;
                    d_frame[k] += d_a * self.weight_ih[j * self.input_size + k];
                }
                for (k, &v) in step.h.iter().enumerate() {
                    d.d_weight_hh[j * size + k] += d_a * v;
                    d.d_h_0[row * size + k] +=
                        d_a * self.weight_hh[j * size + k] * self.scale(row, k);
                }
            }
        }
        d
    }
}
