//! A layer with its arguments, and both its passes against the oracle.

use super::super::oracle::{self, Random, widen};
use super::super::{close, close_from, tensor};
use super::answer::{Answer, exact_cell};
use super::options::Options;
use crate::ops::common::threefry::Key;
use crate::ops::elementwise::half::half;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::ops::lstm::{
    self, Backward, CellConfig, Columns, Forward, InputGrads, Output, OutputGrads,
};
use crate::ops::lstm::{GradRequest, Saved, Weights};
use crate::{Device, Lengths, Mask, Strategy, Tensor};
use std::fmt;

/// A layer with its arguments and the gradients that arrive.
#[derive(Clone)]
pub(crate) struct Case {
    /// Of its numbers.
    seed: u64,
    pub(crate) layer: oracle::lstm::Lstm,
    pub(super) x: Vec<f32>,
    weight_ih: Vec<f32>,
    weight_hh: Vec<f32>,
    bias: Vec<f32>,
    h_0: Vec<f32>,
    c_0: Vec<f32>,
    options: Options,
    d_y: Vec<f32>,
    d_h: Vec<f32>,
    d_c: Vec<f32>,
    /// As the op has it; the oracle's is in `layer`.
    cell: Cell,
    peepholes: Vec<f32>,
    pub(crate) noise: Noise,
    /// Words before and behind the outputs of a frame: another direction's.
    pub(crate) beside: [usize; 2],
    /// Whether the op gets weights of 16 bits.
    half: bool,
}

impl Case {
    pub(crate) fn new(seed: u64, [b, t, i, h]: [usize; 4], options: Options) -> Self {
        let mut r = Random::new(seed);
        let size = 1.0 / (h as f32).sqrt();
        let (weight_ih, weight_hh) =
            (r.uniform(4 * h * i, -size, size), r.uniform(4 * h * h, -size, size));
        let bias = r.uniform(4 * h, -0.5, 0.5);
        let mut state = |wanted: bool| match wanted {
            true => r.uniform(b * h, -1.0, 1.0),
            false => vec![0.0; b * h],
        };
        let (h_0, c_0, d_h, d_c) =
            (state(options.state), state(options.state), state(true), state(true));
        let d_y = match options.sequences {
            true => r.uniform(b * t * h, -1.0, 1.0),
            false => vec![0.0; b * t * h],
        };
        // Rows without a step, too, but not all.
        let least = |row: usize| usize::from(row == 0);
        let lengths = options
            .lengths
            .then(|| (0..b).map(|row| least(row) + r.below(t + 1 - least(row))).collect());
        Self {
            seed,
            x: r.uniform(b * t * i, -1.0, 1.0),
            layer: oracle::lstm::Lstm {
                batch: b,
                timesteps: t,
                input_size: i,
                hidden_size: h,
                weight_ih: widen(&weight_ih),
                weight_hh: widen(&weight_hh),
                bias: widen(&bias),
                lengths,
                ..Default::default()
            },
            weight_ih,
            weight_hh,
            bias,
            h_0,
            c_0,
            options,
            d_y,
            d_h,
            d_c,
            cell: Cell::default(),
            peepholes: vec![],
            noise: Noise { training: true, key: Key([seed as u32, 7]) },
            beside: [0, 0],
            half: false,
        }
    }

    /// The same with weights of 16 bits, which are all that the oracle knows of.
    pub(crate) fn with_half(mut self) -> Self {
        for weights in [&mut self.weight_ih, &mut self.weight_hh] {
            weights.iter_mut().for_each(|w| *w = ::half::f16::from_f32(*w).to_f32());
        }
        self.layer.weight_ih = widen(&self.weight_ih);
        self.layer.weight_hh = widen(&self.weight_hh);
        self.half = true;
        self
    }

    /// CellConfig far states and gradients may be off, if not by rounding to 32 bits: gates of 16 are
    /// rounded to 11 bits, before they are activated and after, and so are their gradients.
    fn bounds(&self) -> [f64; 2] {
        if self.half { [3e-3, 1e-2] } else { [1e-5, 1e-4] }
    }

    /// The same with another cell, and the oracle told of it, dice included.
    pub(crate) fn with_cell(mut self, cell: Cell, seed: u64) -> Self {
        let oracle::lstm::Lstm { batch: b, timesteps: t, hidden_size: h, .. } = self.layer;
        self.cell = cell;
        if cell.peepholes {
            self.peepholes = Random::new(seed).uniform(3 * h, -1.0, 1.0);
        }
        let mask = self.layer.mask.as_deref();
        self.layer.cell = exact_cell(cell, self.noise, &self.peepholes, [b, t, h], mask);
        self
    }

    /// The same behind a mask, for whose steps alone the oracle has outputs. The op gets them packed.
    pub(crate) fn with_mask(mut self, mask: Vec<bool>) -> Self {
        self.layer.mask = Some(mask);
        self.layer.zero_left_out = true;
        self
    }

    /// A value of all frames as the op has it: behind a mask those of the steps that count, the row that has
    /// most of them first.
    fn packed<T: Copy>(&self, values: &[T]) -> (Vec<T>, Vec<usize>) {
        let oracle::lstm::Lstm { batch: b, timesteps: t, .. } = self.layer;
        let width = values.len() / (b * t);
        let Some(mask) = &self.layer.mask else { return (values.to_vec(), vec![b, t, width]) };
        let mut rows: Vec<Vec<_>> =
            (0..b).map(|row| (row * t..(row + 1) * t).filter(|&at| mask[at]).collect()).collect();
        rows.sort_by_key(|frames| std::cmp::Reverse(frames.len()));
        let order = rows.concat();
        let frame = |&at: &usize| values[at * width..][..width].to_vec();
        (order.iter().flat_map(frame).collect(), vec![order.len(), width])
    }

    /// [`Self::packed`] as a tensor.
    fn packed_tensor(&self, values: &[f32], device: &Device) -> Tensor {
        let (values, shape) = self.packed(values);
        tensor(&values, shape, device)
    }

    /// Padding is NaN: nobody may look at it.
    fn poisoned_x(&self) -> Vec<f32> {
        let mut x = self.x.clone();
        let oracle::lstm::Lstm { timesteps, input_size, .. } = self.layer;
        for (row, &length) in self.layer.lengths.iter().flatten().enumerate() {
            let row = row * timesteps * input_size;
            x[row + length * input_size..row + timesteps * input_size].fill(f32::NAN);
        }
        let frames = x.chunks_exact_mut(input_size);
        for (frame, _) in frames.zip(self.layer.mask.iter().flatten()).filter(|(_, on)| !**on) {
            frame.fill(f32::NAN);
        }
        x
    }

    pub(super) fn weights(&self, device: &Device) -> Weights {
        let (i, h) = (self.layer.input_size, self.layer.hidden_size);
        let weight = |words: &[f32], rows| {
            let weight = tensor(&interleave(words, rows, h), [rows, h, 4], device);
            if self.half { half(&weight).unwrap() } else { weight }
        };
        Weights {
            weight_ih: weight(&self.weight_ih, i),
            weight_hh: weight(&self.weight_hh, h),
            bias: Some(tensor(&interleave(&self.bias, 1, h), [h, 4], device)),
            peepholes: self.cell.peepholes.then(|| {
                let p = |gate: usize, u: usize| self.peepholes[gate * h + u];
                let words: Vec<_> = (0..h).flat_map(|u| [p(0, u), p(1, u), 0.0, p(2, u)]).collect();
                tensor(&words, [h, 4], device)
            }),
        }
    }

    /// `[B,T,H]` with the words of another direction around each frame.
    fn widened(&self, frames: &[f32], around: f32) -> Vec<f32> {
        let [before, behind] = self.beside;
        let h = self.layer.hidden_size;
        let frame =
            |frame: &[f32]| [vec![around; before], frame.to_vec(), vec![around; behind]].concat();
        frames.chunks_exact(h).flat_map(frame).collect()
    }

    pub(crate) fn forward(
        &self,
        device: &Device,
        strategy: Strategy,
        save: bool,
    ) -> (Output, Tensor) {
        let oracle::lstm::Lstm { batch, timesteps, hidden_size, .. } = self.layer;
        let x = self.packed_tensor(&self.poisoned_x(), device);
        let lengths = match (&self.layer.lengths, &self.layer.mask) {
            (_, Some(mask)) => {
                let mask = Mask::new(mask, [batch, timesteps], device).unwrap();
                Some(mask.packing().unwrap().lengths.clone())
            }
            (lengths, None) => lengths.as_ref().map(|l| Lengths::new(l, device).unwrap()),
        };
        let h_0 = tensor(&self.h_0, [batch, hidden_size], device);
        let c_0 = tensor(&self.c_0, [batch, hidden_size], device);
        // Whoever wants outputs of rows of different lengths fills the padding.
        let y = self.widened(&vec![0.0; batch * timesteps * hidden_size], 7.0);
        let y = self.packed_tensor(&y, device);
        let output = lstm::forward(&[Forward {
            x: &x,
            weights: &self.weights(device),
            lengths: lengths.as_ref(),
            state: self.options.state.then_some((&h_0, &c_0)),
            y: self.options.sequences.then_some(Columns { tensor: &y, first: self.beside[0] }),
            save,
            config: CellConfig {
                cell: self.cell,
                reverse: self.layer.reverse,
                strategy,
                recompute: self.options.recompute,
                noise: self.noise,
            },
        }])
        .unwrap()
        .remove(0);
        (output, y)
    }

    /// Both passes against the oracle; `what` tells what is not of the case itself.
    pub(crate) fn check(&self, what: &str, device: &Device, strategy: Strategy, answer: &Answer) {
        self.check_passes(&[false, true], what, device, strategy, answer);
    }

    pub(crate) fn check_passes(
        &self,
        saves: &[bool],
        what: &str,
        device: &Device,
        strategy: Strategy,
        answer: &Answer,
    ) {
        let oracle::lstm::Lstm { batch, input_size, hidden_size, .. } = self.layer;
        for &save in saves {
            let what = format!("{self}, {what}, {strategy:?}, saved {save}");
            let (output, y) = self.forward(device, strategy, save);
            let [of_states, of_gradients] = self.bounds();
            state_close(&format!("h_n of {what}"), &output.h_n, &answer.out.h_n, of_states);
            state_close(&format!("c_n of {what}"), &output.c_n, &answer.out.c_n, of_states);
            if self.options.sequences {
                let exact: Vec<f32> = answer.out.y.iter().map(|&v| v as f32).collect();
                let expected = widen(&self.packed(&self.widened(&exact, 7.0)).0);
                state_close(&format!("y of {what}"), &y, &expected, of_states);
            }
            let Some(saved) = output.saved else { continue };
            let d_y = self.widened(&self.d_y, f32::NAN);
            let d_y = self.packed_tensor(&d_y, device);
            let d_h = tensor(&self.d_h, [batch, hidden_size], device);
            let d_c = tensor(&self.d_c, [batch, hidden_size], device);
            // Gradients are added to what is there.
            let mut start = Random::new(9);
            let mut begin = |n: usize| start.uniform(n, -0.5, 0.5);
            let (before_ih, before_hh, before_b, before_p) = (
                begin(4 * hidden_size * input_size),
                begin(4 * hidden_size * hidden_size),
                begin(4 * hidden_size),
                begin(4 * hidden_size),
            );
            let gradients = Weights {
                weight_ih: tensor(&before_ih, [before_ih.len()], device),
                weight_hh: tensor(&before_hh, [before_hh.len()], device),
                bias: Some(tensor(&before_b, [before_b.len()], device)),
                peepholes: self.cell.peepholes.then(|| tensor(&before_p, [before_p.len()], device)),
            };
            let arriving = OutputGrads {
                d_y: self
                    .options
                    .sequences
                    .then_some(Columns { tensor: &d_y, first: self.beside[0] }),
                d_h_n: Some(&d_h),
                d_c_n: Some(&d_c),
            };
            let wanted = GradRequest { d_x: true, d_state: self.options.d_state };
            let leaving = backward(saved, arriving, &gradients, wanted);
            let d = &answer.gradients;
            // Sums that cancel are as exact as their terms.
            let close = |what: &str, found: &Tensor, expected: &[f64]| match self.half {
                true => state_close(what, found, expected, of_gradients),
                false => close(what, found, expected, of_gradients),
            };
            close(&format!("d_x of {what}"), &leaving.d_x.unwrap(), &self.packed(&d.d_x).0);
            assert_eq!(leaving.d_state.is_some(), self.options.d_state, "{what}");
            if let Some((d_h_0, d_c_0)) = leaving.d_state {
                close(&format!("d_h_0 of {what}"), &d_h_0, &d.d_h_0);
                close(&format!("d_c_0 of {what}"), &d_c_0, &d.d_c_0);
            }
            for (name, found, before, expected, rows) in [
                ("d_weight_ih", gradients.weight_ih, before_ih, &d.d_weight_ih, input_size),
                ("d_weight_hh", gradients.weight_hh, before_hh, &d.d_weight_hh, hidden_size),
                ("d_bias", gradients.bias.unwrap(), before_b, &d.d_bias, 1),
            ] {
                let expected: Vec<f64> = interleave(expected, rows, hidden_size)
                    .iter()
                    .zip(before)
                    .map(|(e, b)| e + f64::from(b))
                    .collect();
                close(&format!("{name} of {what}"), &found, &expected);
            }
            if let Some(found) = gradients.peepholes {
                let p = |gate: usize, u: usize| d.d_peepholes[gate * hidden_size + u];
                let exact = (0..hidden_size).flat_map(|u| [p(0, u), p(1, u), 0.0, p(2, u)]);
                let expected: Vec<_> = exact.zip(before_p).map(|(e, b)| e + f64::from(b)).collect();
                close(&format!("d_peepholes of {what}"), &found, &expected);
            }
        }
    }

    /// Most of what both passes give.
    pub(crate) fn results(&self, device: &Device, strategy: Strategy) -> Vec<Tensor> {
        let oracle::lstm::Lstm { batch, timesteps, hidden_size, .. } = self.layer;
        let (output, y) = self.forward(device, strategy, true);
        let gradients = Self { half: false, ..self.clone() }.weights(device);
        let wanted = GradRequest { d_x: true, d_state: true };
        let d_h = tensor(&self.d_h, [batch, hidden_size], device);
        let d_y = tensor(&self.d_y, [batch, timesteps, hidden_size], device);
        let d_y = self.options.sequences.then_some(Columns { tensor: &d_y, first: 0 });
        let arriving = OutputGrads { d_y, d_h_n: Some(&d_h), d_c_n: None };
        let leaving = backward(output.saved.unwrap(), arriving, &gradients, wanted);
        let (d_h_0, d_c_0) = leaving.d_state.unwrap();
        let Weights { weight_ih, weight_hh, bias, .. } = gradients;
        let states = [output.h_n, output.c_n, y, d_h_0, d_c_0];
        let gradients = [leaving.d_x.unwrap(), weight_ih, weight_hh, bias.unwrap()];
        states.into_iter().chain(gradients).collect()
    }

    pub(crate) fn answer(&self) -> Answer {
        let (x, h_0, c_0) = (widen(&self.x), widen(&self.h_0), widen(&self.c_0));
        let out = self.layer.forward(&x, &h_0, &c_0);
        let (d_y, d_h, d_c) = (widen(&self.d_y), widen(&self.d_h), widen(&self.d_c));
        let gradients = self.layer.backward(&x, &out, &d_y, &d_h, &d_c);
        Answer { out, gradients }
    }
}

/// All that it is made from.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, options, seed, .. } = self;
        let oracle::lstm::Lstm { batch, timesteps, input_size, hidden_size, .. } = layer;
        write!(f, "B{batch} T{timesteps} I{input_size} H{hidden_size}, seed {seed}, {options}")?;
        for (on, what) in [
            (layer.mask.is_some(), "mask"),
            (layer.reverse, "reverse"),
            (self.half, "16 bits"),
            (!self.noise.training, "without dice"),
        ] {
            if on {
                write!(f, ", {what}")?;
            }
        }
        if self.beside != [0, 0] {
            write!(f, ", beside {:?}", self.beside)?;
        }
        if self.cell.is_variant() {
            write!(f, ", {:?}", self.cell)?;
        }
        Ok(())
    }
}

fn backward(
    saved: Saved,
    arriving: OutputGrads<'_>,
    sums: &Weights,
    wanted: GradRequest,
) -> InputGrads {
    let pass = Backward { saved, arriving, gradients: sums };
    lstm::backward(vec![pass], wanted).unwrap().remove(0)
}

/// A state is a sum of terms of about 1, which may cancel: where it has one number or two, all
/// of them may be small.
#[track_caller]
fn state_close(what: &str, found: &Tensor, expected: &[f64], bound: f64) {
    close_from(0.1, what, found, expected, bound);
}

/// PyTorch's `[4H,rows]` as `[rows,H,4]`.
fn interleave<T: Copy>(values: &[T], rows: usize, h: usize) -> Vec<T> {
    (0..values.len()).map(|at| values[(at % 4 * h + at / 4 % h) * rows + at / (4 * h)]).collect()
}
