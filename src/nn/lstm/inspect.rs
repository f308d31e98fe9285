//! A layer's states and gates at every timestep, to look at.

use super::direction::sizes;
use super::{DirectionParams, Directions, Lstm, LstmState, Merge};
use crate::autograd::{ParamId, Tape, Var};
use crate::check::Check;
use crate::lengths::Counted;
use crate::nn::Params;
use crate::nn::functions::{swap_axes, unpacked};
use crate::nn::layer_norm::EPSILON;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::{DType, Error, Result};

/// What a direction of a layer computed at each timestep, on the host: see [`Lstm::inspect`].
///
/// Past a row's length all is 0. At a step that a mask leaves out h and c are those of the step before, in the
/// order in which the layer runs, and the gates are 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LstmTrace {
    /// The output h, `[B,T,H]`; `[B,T,P]` with a projection.
    pub h: Vec<f32>,
    /// The cell state c, `[B,T,H]`.
    pub c: Vec<f32>,
    /// The gates after their activations, `[B,T,4,H]`: i, f, g, o.
    pub gates: Vec<f32>,
}

impl Lstm {
    /// The output, the cell state and the gates of every timestep, for each direction of each layer in PyTorch's
    /// order, from the states that are given (`None`: zeros). Without a gradient, without dropout, and without a
    /// look at what a stateful layer remembers.
    ///
    /// It computes on the host, step by step, whatever the device: up to rounding what [`Lstm::run`] gives
    /// outside training. To look at, not to be fast: it takes about 8 B T H (I + H) FLOP of one core for each
    /// direction.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tensor, Var, nn::{Lstm, Params}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let lstm = Lstm::new(4).build(&params, 3)?;
    /// let x = Var::from(Tensor::from_slice(&[0.5; 2 * 5 * 3], [2, 5, 3], &device)?);
    /// let traces = lstm.inspect(&params, &x, None)?;
    /// let trace = &traces[0];
    /// assert_eq!((trace.c.len(), trace.gates.len()), (2 * 5 * 4, 2 * 5 * 4 * 4));
    /// // At the first step c = i g.
    /// let [i, g] = [0, 2].map(|gate| trace.gates[gate * 4]);
    /// assert!((trace.c[0] - i * g).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Lstm::run`], but for those of strategies.
    pub fn inspect(
        &self,
        params: &Params,
        x: &Var,
        state: Option<&[LstmState]>,
    ) -> Result<Vec<LstmTrace>> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        if let Some(state) = state.filter(|s| s.len() != built.directions.len()) {
            return Err(Error::State {
                op: "lstm",
                what: "states",
                expected: built.directions.len(),
                found: state.len(),
                help: "one for each direction of each layer",
            });
        }
        let tape = Tape::inference(params);
        let x = if self.time_major { swap_axes(&tape, x)? } else { unpacked(&tape, x)? };
        let [batch, timesteps, _] = sizes(x.tensor())?;
        let inputs = built.directions.first().map_or(0, |ids| ids.input_size);
        let check = Check::new("lstm", "the layer was built for that input_size");
        check.shape("x", x.tensor(), "[B,T,I]", &[batch, timesteps, inputs])?;
        let steps = x.counted("lstm", batch, timesteps)?;
        let mut values = x.tensor().to_vec()?;
        let mut traces = Vec::new();
        let count = self.directions.reversed().len();
        for (layer, all) in built.directions.chunks(count).enumerate() {
            for (number, (ids, &reverse)) in all.iter().zip(self.directions.reversed()).enumerate()
            {
                let at = layer * count + number;
                let [h, c] = self.first(state.map(|states| &states[at]), batch)?;
                let pass = Pass {
                    weights: self.read(&tape, ids)?,
                    cell: &self.cell,
                    steps: &steps,
                    sizes: [batch, timesteps, ids.input_size, self.hidden_size],
                    reverse,
                };
                traces.push(pass.run(&values, h, c));
            }
            values = self.merged(&traces[layer * count..]);
        }
        Ok(traces)
    }

    /// h and c of a first state.
    fn first(&self, state: Option<&LstmState>, batch: usize) -> Result<[Vec<f32>; 2]> {
        let sizes = [self.direction_size(), self.hidden_size];
        let Some(state) = state else { return Ok(sizes.map(|size| vec![0.0; batch * size])) };
        let check = Check::new("lstm", "one state for each row of the batch");
        let part = |arg, var: &Var, size| {
            check.dtype(arg, var.tensor(), DType::F32)?;
            check.shape(arg, var.tensor(), "[B,H]", &[batch, size])?;
            var.tensor().to_vec()
        };
        Ok([part("h_0", &state.h, sizes[0])?, part("c_0", &state.c, sizes[1])?])
    }

    /// What the layer above takes.
    fn merged(&self, traces: &[LstmTrace]) -> Vec<f32> {
        let (Directions::Both(merge), [one, two]) = (self.directions, traces) else {
            return traces.first().map_or_else(Vec::new, |trace| trace.h.clone());
        };
        let pairs = one.h.iter().zip(&two.h);
        match merge {
            Merge::Concat => {
                let size = self.direction_size();
                let frames = one.h.chunks(size).zip(two.h.chunks(size));
                frames.flat_map(|(one, two)| [one, two].concat()).collect()
            }
            Merge::Sum => pairs.map(|(a, b)| a + b).collect(),
            Merge::Mean => pairs.map(|(a, b)| 0.5 * (a + b)).collect(),
            Merge::Product => pairs.map(|(a, b)| a * b).collect(),
        }
    }

    fn read(&self, tape: &Tape, ids: &DirectionParams) -> Result<Weights> {
        let (h, size) = (self.hidden_size, self.direction_size());
        let of = |id: ParamId, len: usize| tape.parameter(id, &[len])?.0.to_vec();
        let optional = |id: Option<ParamId>, len| id.map(|id| of(id, len)).transpose();
        let norms = ids
            .norms
            .map(|n| Ok([of(n.ih, 4 * h)?, of(n.hh, 4 * h)?, of(n.c, h)?, of(n.c_bias, h)?]));
        Ok(Weights {
            ih: of(ids.weight_ih, ids.input_size * 4 * h)?,
            hh: of(ids.weight_hh, size * 4 * h)?,
            bias: optional(ids.bias, 4 * h)?,
            peepholes: optional(ids.peepholes, 4 * h)?,
            projection: optional(ids.weight_hr, h * size)?,
            norms: norms.transpose()?,
        })
    }
}

/// A direction's parameters on the host, the four gates of a unit side by side.
struct Weights {
    /// `[I,H,4]`
    ih: Vec<f32>,
    /// `[H,H,4]`; from P with a projection.
    hh: Vec<f32>,
    /// `[H,4]`
    bias: Option<Vec<f32>>,
    /// `[H,4]`, of which the third is 0.
    peepholes: Option<Vec<f32>>,
    /// `[H,P]`
    projection: Option<Vec<f32>>,
    /// The gains of W x and of R h, and gain and shift of c.
    norms: Option<[Vec<f32>; 4]>,
}

/// A direction over a batch.
struct Pass<'a> {
    weights: Weights,
    cell: &'a Cell,
    steps: &'a Counted,
    /// B, T, I and H.
    sizes: [usize; 4],
    reverse: bool,
}

impl Pass<'_> {
    /// Over `x` `[B,T,I]` from h and c, which become the last.
    fn run(&self, x: &[f32], mut h: Vec<f32>, mut c: Vec<f32>) -> LstmTrace {
        let [batch, timesteps, inputs, hidden] = self.sizes;
        let size = h.len() / batch;
        let zeros = |each: usize| vec![0.0; batch * timesteps * each];
        let mut trace = LstmTrace { h: zeros(size), c: zeros(hidden), gates: zeros(4 * hidden) };
        for row in 0..batch {
            let h = &mut h[row * size..][..size];
            let c = &mut c[row * hidden..][..hidden];
            for step in 0..timesteps {
                let t = if self.reverse { timesteps - 1 - step } else { step };
                let frame = row * timesteps + t;
                let counts = self.steps.counts(row, t);
                if counts {
                    let x = &x[frame * inputs..][..inputs];
                    self.step(x, h, c, &mut trace.gates[frame * 4 * hidden..][..4 * hidden]);
                }
                if counts || matches!(self.steps, Counted::Mask(_)) {
                    trace.h[frame * size..][..size].copy_from_slice(h);
                    trace.c[frame * hidden..][..hidden].copy_from_slice(c);
                }
            }
        }
        trace
    }

    /// One timestep of one row, whose gates go to `[4,H]`.
    fn step(&self, x: &[f32], h: &mut [f32], c: &mut [f32], gates: &mut [f32]) {
        let (weights, hidden) = (&self.weights, c.len());
        let mut a = product(x, &weights.ih, 4 * hidden);
        let mut r = product(h, &weights.hh, 4 * hidden);
        if let Some([gain_x, gain_h, ..]) = &weights.norms {
            normalise(&mut a, gain_x);
            normalise(&mut r, gain_h);
        }
        a.iter_mut().zip(&r).for_each(|(a, r)| *a += r);
        if let Some(bias) = &weights.bias {
            a.iter_mut().zip(bias).for_each(|(a, b)| *a += f64::from(*b));
        }
        let simd = pulp::Scalar::new();
        let stays = self.cell.zoneout(Noise::default(), 0);
        let mut new_h = vec![0.0f32; hidden];
        for unit in 0..hidden {
            let four = |of: usize| a[4 * unit + of] as f32;
            let peepholes = weights.peepholes.as_ref();
            let p = [0, 1, 2, 3].map(|of| peepholes.map_or(0.0, |p| p[4 * unit + of]));
            let new = self.cell.forward(simd, [0, 1, 2, 3].map(four), c[unit], p);
            for (gate, value) in new.gates.into_iter().enumerate() {
                gates[gate * hidden + unit] = value;
            }
            new_h[unit] = new.h;
            c[unit] = stay(new.c, c[unit], stays[1]);
        }
        if let Some([.., gain, shift]) = &weights.norms {
            let mut normal: Vec<_> = c.iter().map(|&c| f64::from(c)).collect();
            normalise(&mut normal, gain);
            for (unit, h) in new_h.iter_mut().enumerate() {
                let inner = normal[unit] + f64::from(shift[unit]);
                *h = (f64::from(gates[3 * hidden + unit]) * libm::tanh(inner)) as f32;
            }
        }
        match &weights.projection {
            Some(projection) => {
                let projected = product(&new_h, projection, h.len());
                h.iter_mut().zip(projected).for_each(|(h, new)| *h = new as f32);
            }
            None => h.iter_mut().zip(new_h).for_each(|(h, new)| *h = stay(new, *h, stays[0])),
        }
    }
}

/// A blend: `new` where `stays` is 0, `old` where it is 1.
fn stay(new: f32, old: f32, stays: f32) -> f32 {
    if stays == 0.0 { new } else { new * (1.0 - stays) + old * stays }
}

/// A row times a matrix `[rows,columns]`.
fn product(x: &[f32], matrix: &[f32], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (x, row) in x.iter().zip(matrix.chunks_exact(columns)) {
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += f64::from(*x) * f64::from(*w);
        }
    }
    sums
}

/// Ba et al. 2016, equation 3, with a gain.
fn normalise(values: &mut [f64], gain: &[f32]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + f64::from(EPSILON)).sqrt();
    for (value, gain) in values.iter_mut().zip(gain) {
        *value = (*value - mean) * scale * f64::from(*gain);
    }
}
