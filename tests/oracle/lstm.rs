//! An LSTM layer: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), weights
//! in PyTorch's layout.

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
    h: Vec<f64>,
    c: Vec<f64>,
    gates: Vec<f64>,
    c_next: Vec<f64>,
}

pub struct Gradients {
    pub d_x: Vec<f64>,
    pub d_weight_ih: Vec<f64>,
    pub d_weight_hh: Vec<f64>,
    pub d_bias: Vec<f64>,
    pub d_h_0: Vec<f64>,
    pub d_c_0: Vec<f64>,
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

    pub fn forward(&self, x: &[f64], h_0: &[f64], c_0: &[f64]) -> Outputs {
        let size = self.hidden_size;
        let mut out = Outputs {
            y: vec![0.0; self.batch * self.timesteps * size],
            h_n: h_0.to_vec(),
            c_n: c_0.to_vec(),
            steps: Vec::new(),
        };
        for row in 0..self.batch {
            let state = row * size..(row + 1) * size;
            let (mut h, mut c) = (h_0[state.clone()].to_vec(), c_0[state.clone()].to_vec());
            for t in 0..self.length(row) {
                let frame = self.frame(x, row, t);
                let mut gates = vec![0.0; 4 * size];
                for (j, gate) in gates.iter_mut().enumerate() {
                    let mut a = self.bias[j];
                    for (k, v) in frame.iter().enumerate() {
                        a += self.weight_ih[j * self.input_size + k] * v;
                    }
                    for (k, v) in h.iter().enumerate() {
                        a += self.weight_hh[j * size + k] * v;
                    }
                    *gate = if j / size == 2 { a.tanh() } else { sigmoid(a) };
                }
                let (i, f, g, o) = (0, size, 2 * size, 3 * size);
                let c_next: Vec<_> =
                    (0..size).map(|u| gates[f + u] * c[u] + gates[i + u] * gates[g + u]).collect();
                let h_next: Vec<_> = (0..size).map(|u| gates[o + u] * c_next[u].tanh()).collect();
                out.y[(row * self.timesteps + t) * size..][..size].copy_from_slice(&h_next);
                let before = (std::mem::replace(&mut h, h_next), c);
                c = c_next.clone();
                out.steps.push(Step { row, t, h: before.0, c: before.1, gates, c_next });
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
        let mut d = Gradients {
            d_x: vec![0.0; x.len()],
            d_weight_ih: vec![0.0; self.weight_ih.len()],
            d_weight_hh: vec![0.0; self.weight_hh.len()],
            d_bias: vec![0.0; self.bias.len()],
            d_h_0: d_h_n.to_vec(),
            d_c_0: d_c_n.to_vec(),
        };
        // d_h_0 and d_c_0 hold the gradient of the state behind the step that is being undone.
        for step in out.steps.iter().rev() {
            let (row, t) = (step.row, step.t);
            let mut d_a = vec![0.0; 4 * size];
            for u in 0..size {
                let (i, f) = (step.gates[u], step.gates[size + u]);
                let (g, o) = (step.gates[2 * size + u], step.gates[3 * size + u]);
                let d_h = d.d_h_0[row * size + u] + d_y[(row * self.timesteps + t) * size + u];
                let tanh_c = step.c_next[u].tanh();
                let d_c = d.d_c_0[row * size + u] + d_h * o * (1.0 - tanh_c * tanh_c);
                d_a[u] = d_c * g * i * (1.0 - i);
                d_a[size + u] = d_c * step.c[u] * f * (1.0 - f);
                d_a[2 * size + u] = d_c * i * (1.0 - g * g);
                d_a[3 * size + u] = d_h * tanh_c * o * (1.0 - o);
                d.d_c_0[row * size + u] = d_c * f;
            }
            let frame = self.frame(x, row, t);
            let d_frame = &mut d.d_x[(row * self.timesteps + t) * self.input_size..];
            let d_h = &mut d.d_h_0[row * size..(row + 1) * size];
            d_h.fill(0.0);
            for (j, &d_a) in d_a.iter().enumerate() {
                d.d_bias[j] += d_a;
                for (k, &v) in frame.iter().enumerate() {
                    d.d_weight_ih[j * self.input_size + k] += d_a * v;
                    d_frame[k] += d_a * self.weight_ih[j * self.input_size + k];
                }
                for (k, &v) in step.h.iter().enumerate() {
                    d.d_weight_hh[j * size + k] += d_a * v;
                    d_h[k] += d_a * self.weight_hh[j * size + k];
                }
            }
        }
        d
    }
}
