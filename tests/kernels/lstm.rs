//! The LSTM op, forward and backward: every strategy on every device against the oracle.

use super::oracle::{self, Random, widen};
use super::{close, close_from, devices, gpu, inner, lacks, lacks_f16, tensor};
use crate::device::coresident::Forced;
use crate::lengths::Counted;
use crate::ops::half::half;
use crate::ops::lstm::cell::{Cell, Noise};
use crate::ops::lstm::{
    self, Backward, CellConfig, Columns, Forward, InputGrads, Output, OutputGrads,
};
use crate::ops::lstm::{GradRequest, Saved, Weights};
use crate::ops::threefry::Key;
use crate::{Coupling, Device, GateActivation, GpuOptions, Lengths, Mask, Strategy, Tensor};
use std::fmt;

/// What a case has and what is wanted of it, beside its sizes. Each is on and off independently of the
/// others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Options {
    /// Its rows have different lengths.
    pub(super) lengths: bool,
    /// A first state goes in; else it is zeros.
    pub(super) state: bool,
    /// The gradient of the first state is wanted, given or not.
    pub(super) d_state: bool,
    /// The outputs of all steps are wanted and have gradients, beside the last state.
    pub(super) sequences: bool,
    /// The backward pass computes the gates anew, instead of finding them kept.
    pub(super) recompute: bool,
}

impl Options {
    pub(super) const NONE: Self =
        Self { lengths: false, state: false, d_state: false, sequences: false, recompute: false };
    pub(super) const ALL: Self =
        Self { lengths: true, state: true, d_state: true, sequences: true, recompute: true };

    pub(super) const SEQUENCES: Self = Self { sequences: true, ..Self::NONE };

    /// Each set of options once.
    fn every() -> impl Iterator<Item = Self> {
        (0..32).map(|set| {
            let [lengths, state, d_state, sequences, recompute] =
                [0, 1, 2, 3, 4].map(|at| set >> at & 1 == 1);
            Self { lengths, state, d_state, sequences, recompute }
        })
    }

    /// Few of them, none and all among them, in which any two options are met on and off, together
    /// and apart; three of them in every way.
    fn some() -> [Self; 8] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|set| {
            let three @ [lengths, state, sequences] = [0, 1, 2].map(|at| set >> at & 1 == 1);
            let on = three.into_iter().filter(|on| *on).count();
            Self { lengths, state, d_state: on >= 2, sequences, recompute: on % 2 == 1 }
        })
    }
}

/// The names of those that are on.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { lengths, state, d_state, sequences, recompute } = self;
        let all = [
            (lengths, "lengths"),
            (state, "state"),
            (d_state, "d_state"),
            (sequences, "sequences"),
            (recompute, "recompute"),
        ];
        let on: Vec<_> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        f.write_str(&if on.is_empty() { "no option".to_owned() } else { on.join(" ") })
    }
}

#[test]
fn some_options_hold_every_pair() {
    let flags = |o: Options| [o.lengths, o.state, o.d_state, o.sequences, o.recompute];
    let some = Options::some();
    assert!(some.contains(&Options::NONE) && some.contains(&Options::ALL));
    for (a, b) in (0..5).flat_map(|a| (0..a).map(move |b| (a, b))) {
        for pair in [[false, false], [false, true], [true, false], [true, true]] {
            let met = some.iter().any(|&o| [flags(o)[a], flags(o)[b]] == pair);
            assert!(met, "options {a} and {b}: never {pair:?}");
        }
    }
    let mut every: Vec<_> = Options::every().map(flags).collect();
    every.sort_unstable();
    every.dedup();
    assert_eq!(every.len(), 32);
}

/// A layer with its arguments and the gradients that arrive.
#[derive(Clone)]
pub(super) struct Case {
    /// Of its numbers.
    seed: u64,
    pub(super) layer: oracle::lstm::Lstm,
    x: Vec<f32>,
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
    pub(super) noise: Noise,
    /// Words before and behind the outputs of a frame: another direction's.
    pub(super) beside: [usize; 2],
    /// Whether the op gets weights of 16 bits.
    half: bool,
}

impl Case {
    pub(super) fn new(seed: u64, [b, t, i, h]: [usize; 4], options: Options) -> Self {
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
        let lengths = options.lengths.then(|| (0..b).map(|_| 1 + r.below(t)).collect());
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
    pub(super) fn with_half(mut self) -> Self {
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
    pub(super) fn with_cell(mut self, cell: Cell, seed: u64) -> Self {
        let oracle::lstm::Lstm { batch: b, timesteps: t, hidden_size: h, .. } = self.layer;
        self.cell = cell;
        if cell.peepholes {
            self.peepholes = Random::new(seed).uniform(3 * h, -1.0, 1.0);
        }
        self.layer.cell = exact_cell(cell, self.noise, &self.peepholes, [b, t, h]);
        self
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

    fn weights(&self, device: &Device) -> Weights {
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

    pub(super) fn forward(
        &self,
        device: &Device,
        strategy: Strategy,
        save: bool,
    ) -> (Output, Tensor) {
        let oracle::lstm::Lstm { batch, timesteps, input_size, hidden_size, .. } = self.layer;
        let x = tensor(&self.poisoned_x(), [batch, timesteps, input_size], device);
        let lengths = self.layer.lengths.as_ref().map(|l| Lengths::new(l, device).unwrap());
        let mask =
            self.layer.mask.as_ref().map(|m| Mask::new(m, [batch, timesteps], device).unwrap());
        let steps = match (&lengths, &mask) {
            (Some(lengths), _) => Counted::Lengths(lengths.clone()),
            (_, Some(mask)) => Counted::Mask(mask.clone()),
            _ => Counted::All,
        };
        let h_0 = tensor(&self.h_0, [batch, hidden_size], device);
        let c_0 = tensor(&self.c_0, [batch, hidden_size], device);
        // Whoever wants outputs of rows of different lengths fills the padding.
        let y = self.widened(&vec![0.0; batch * timesteps * hidden_size], 7.0);
        let width = y.len() / batch / timesteps;
        let y = tensor(&y, [batch, timesteps, width], device);
        let output = lstm::forward(&[Forward {
            x: &x,
            weights: &self.weights(device),
            steps: &steps,
            state: self.options.state.then_some((&h_0, &c_0)),
            y: self.options.sequences.then_some(Columns { tensor: &y, first: self.beside[0] }),
            save,
            config: CellConfig {
                cell: self.cell,
                reverse: self.layer.reverse,
                zero_left_out: self.layer.zero_left_out,
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
    pub(super) fn check(&self, what: &str, device: &Device, strategy: Strategy, answer: &Answer) {
        self.check_passes(&[false, true], what, device, strategy, answer);
    }

    pub(super) fn check_passes(
        &self,
        saves: &[bool],
        what: &str,
        device: &Device,
        strategy: Strategy,
        answer: &Answer,
    ) {
        let oracle::lstm::Lstm { batch, timesteps, input_size, hidden_size, .. } = self.layer;
        for &save in saves {
            let what = format!("{self}, {what}, {strategy:?}, saved {save}");
            let (output, y) = self.forward(device, strategy, save);
            let [of_states, of_gradients] = self.bounds();
            state_close(&format!("h_n of {what}"), &output.h_n, &answer.out.h_n, of_states);
            state_close(&format!("c_n of {what}"), &output.c_n, &answer.out.c_n, of_states);
            if self.options.sequences {
                let exact: Vec<f32> = answer.out.y.iter().map(|&v| v as f32).collect();
                let expected = widen(&self.widened(&exact, 7.0));
                state_close(&format!("y of {what}"), &y, &expected, of_states);
            }
            let Some(saved) = output.saved else { continue };
            let d_y = self.widened(&self.d_y, f32::NAN);
            let width = d_y.len() / batch / timesteps;
            let d_y = tensor(&d_y, [batch, timesteps, width], device);
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
            close(&format!("d_x of {what}"), &leaving.d_x.unwrap(), &d.d_x);
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
    pub(super) fn results(&self, device: &Device, strategy: Strategy) -> Vec<Tensor> {
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

    pub(super) fn answer(&self) -> Answer {
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
            (layer.zero_left_out, "zeros where left out"),
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

/// A cell as the oracle has it, dice included, of `[B,T,H]`; `peepholes` are `[3H]`.
pub(super) fn exact_cell(
    cell: Cell,
    noise: Noise,
    peepholes: &[f32],
    [b, t, h]: [usize; 3],
) -> oracle::lstm::Cell {
    let act = |a| match a {
        GateActivation::Sigmoid => oracle::lstm::Act::Sigmoid,
        GateActivation::Tanh => oracle::lstm::Act::Tanh,
        GateActivation::Relu => oracle::lstm::Act::Relu,
        GateActivation::Affine { alpha, beta } => {
            oracle::lstm::Act::Affine(alpha.into(), beta.into())
        }
        GateActivation::HardSigmoid { alpha, beta } => {
            oracle::lstm::Act::HardSigmoid(alpha.into(), beta.into())
        }
        GateActivation::LeakyRelu { alpha } => oracle::lstm::Act::LeakyRelu(alpha.into()),
        GateActivation::ScaledTanh { alpha, beta } => {
            oracle::lstm::Act::ScaledTanh(alpha.into(), beta.into())
        }
        GateActivation::Elu { alpha } => oracle::lstm::Act::Elu(alpha.into()),
        GateActivation::Softsign => oracle::lstm::Act::Softsign,
        GateActivation::Softplus => oracle::lstm::Act::Softplus,
        GateActivation::ThresholdedRelu { alpha } => {
            oracle::lstm::Act::ThresholdedRelu(alpha.into())
        }
    };
    let p = cell.recurrent_dropout;
    let training = noise.training;
    // The dice of `shaders/lstm/parts/rows.wgsl`, whose generator has known answers.
    let scale = |at: usize| match noise.key.floats([at as u32, 0])[0] < p {
        true => 0.0,
        false => 1.0 / (1.0 - f64::from(p)),
    };
    let stays = |which: usize| {
        let share = cell.zoneout[which];
        (0..b * t * h)
            .map(|at| match training {
                true => {
                    let random = noise.key.floats([at as u32, 1])[which];
                    f64::from(u8::from(random < share))
                }
                false => f64::from(share),
            })
            .collect()
    };
    oracle::lstm::Cell {
        recurrent: act(cell.recurrent),
        input: act(cell.input),
        output: act(cell.output),
        coupling: match cell.coupling {
            Coupling::None => oracle::lstm::Coupling::None,
            Coupling::InputFollowsForget => oracle::lstm::Coupling::InputFollowsForget,
            Coupling::ForgetFollowsInput => oracle::lstm::Coupling::ForgetFollowsInput,
        },
        clip: cell.clip.map_or(f64::INFINITY, f64::from),
        cell_clip: cell.cell_clip.map_or(f64::INFINITY, f64::from),
        peepholes: cell.peepholes.then(|| widen(peepholes)),
        scale: (p > 0.0 && training).then(|| (0..b * h).map(scale).collect()),
        stays: (cell.zoneout != [0.0; 2]).then(|| [stays(0), stays(1)]),
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

pub(super) struct Answer {
    out: oracle::lstm::Outputs,
    gradients: oracle::lstm::Gradients,
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

fn strategies(device: &Device) -> &'static [Strategy] {
    match device.is_gpu() {
        true => &[Strategy::Sequence, Strategy::Stepwise],
        false => &[Strategy::Auto],
    }
}

pub(super) fn check_everywhere(case: &Case, saves: &[bool]) {
    let answer = case.answer();
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            case.check_passes(saves, name, device, strategy, &answer);
        }
    }
}

/// As on hardware: the sums over all frames in slices, each of them in one more dispatch than whole.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn gradients_of_weights_in_slices() {
    let device = gpu(GpuOptions::default().threads(2));
    let inner = inner(&device);
    let plain = Case::new(4, [11, 17, 12, 7], Options { lengths: false, ..Options::ALL });
    // The other products' sums, of 4 H or fewer, are too short for slices.
    let mut cases = vec![plain.clone(), Case::new(5, [33, 9, 3, 7], Options::ALL)];
    if !lacks_f16(&device) {
        cases.push(plain.with_half());
    }
    for case in cases {
        let answer = case.answer();
        let dispatches = [1, 3].map(|slices| {
            inner.force(Forced { slices: Some(slices), ..Forced::default() }).unwrap();
            let before = device.counters().dispatches;
            let what = format!("{slices} slices");
            case.check_passes(&[true], &what, &device, Strategy::Sequence, &answer);
            device.counters().dispatches - before
        });
        // Gradients of `weight_ih`, of `weight_hh` and of the bias.
        assert_eq!(dispatches[1] - dispatches[0], 3, "{case}");
    }
}

/// The sizes at which every kernel meets its edges, each with one set of options or another, in training.
/// All sets come in the next test, at one size: a software adapter takes seconds to compile a kernel,
/// and each of these makes kernels anew.
fn grid(hidden_size: usize) {
    // Another begin for each hidden size, so that the other sizes meet more of them.
    let mut options = Options::some().into_iter().cycle().skip(hidden_size % 5);
    let mut seed = hidden_size as u64;
    for b in [1, 3, 33] {
        for t in [1, 2, 17] {
            for i in [1, 5, 64] {
                let options = options.next().unwrap();
                check_everywhere(&Case::new(seed, [b, t, i, hidden_size], options), &[true]);
                seed += 1;
            }
        }
    }
}

#[test]
fn hidden_size_1() {
    grid(1);
}

#[test]
fn hidden_size_7() {
    grid(7);
}

#[test]
fn hidden_size_64() {
    grid(64);
}

#[test]
fn hidden_size_128() {
    grid(128);
}

#[test]
fn hidden_size_200() {
    grid(200);
}

#[test]
fn every_option_at_one_size() {
    for (seed, options) in (0..).zip(Options::every()) {
        // Where nothing is saved, what the backward pass does makes no difference.
        let of_backward = options.d_state || options.recompute;
        let saves: &[bool] = if of_backward { &[true] } else { &[false, true] };
        // As many units as the kernel for subgroups takes, and no multiple of anything.
        check_everywhere(&Case::new(seed, [33, 6, 3, 21], options), saves);
    }
    for (seed, options) in (0..).zip(Options::some()) {
        // The kernels for eight rows.
        check_everywhere(&Case::new(seed, [9, 5, 2, 13], options), &[true]);
    }
}

/// More units than the kernels for one row keep in private memory.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn few_rows_of_many_units() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    let wide = inner(&device).limits.max_compute_invocations_per_workgroup >= 512;
    let strategy = if lacks("wide", wide) { Strategy::Auto } else { Strategy::Sequence };
    for (seed, b, options) in [(7, 3, Options::ALL), (4, 1, Options::SEQUENCES)] {
        let case = Case::new(seed, [b, 4, 3, 499], options);
        case.check_passes(&[true], "many units", &device, strategy, &case.answer());
    }
}

/// A hidden size that no workgroup holds: `Auto` goes by steps, `Sequence` is refused.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_hidden_size_past_a_workgroup() {
    let case = Case::new(1, [2, 3, 2, 300], Options::ALL);
    let answer = case.answer();
    let device = gpu(GpuOptions::default().poison().portable());
    case.check("past a workgroup", &device, Strategy::Auto, &answer);
    let x = tensor(&case.x, [2, 3, 2], &device);
    let refused = lstm::forward(&[Forward {
        x: &x,
        weights: &case.weights(&device),
        steps: &Counted::All,
        state: None,
        y: None,
        save: false,
        config: CellConfig { strategy: Strategy::Sequence, ..CellConfig::default() },
    }]);
    assert!(matches!(refused, Err(crate::Error::Strategy { hidden_size: 300, .. })));
}

/// The gates of this batch are 166 MB: more than WebGPU binds at once.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_batch_larger_than_one_binding() {
    let sizes @ [b, t, _, h] = [81, 1000, 1, 128];
    let options = Options { lengths: true, sequences: true, ..Options::NONE };
    let mut case = Case::new(1, sizes, options);
    let lengths: Vec<usize> = (0..b).map(|row| if row % 9 == 0 { t } else { 3 }).collect();
    case.layer.lengths = Some(lengths);
    let device = gpu(GpuOptions::default().portable());
    assert!(b * t * h * 16 > 128 << 20);
    let answer = case.answer();
    case.check("a large batch", &device, Strategy::Auto, &answer);
}

/// Chunks as they come with tiny bindings: rows, and timesteps of one row.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn chunks_of_rows_and_of_timesteps() {
    for limit in [4 * 5 * 16 * 2, 4 * 5 * 4 + 8] {
        let device = gpu(GpuOptions::default().poison().chunk_words(limit));
        for (seed, options) in (0..).zip(Options::some()) {
            let mut case = Case::new(seed, [3, 9, 2, 5], options);
            for reverse in [false, true] {
                case.layer.reverse = reverse;
                let answer = case.answer();
                for strategy in [Strategy::Sequence, Strategy::Stepwise] {
                    case.check("in chunks", &device, strategy, &answer);
                }
            }
        }
    }
}

#[test]
fn nan_in_the_input_reaches_its_row_alone() {
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let mut case = Case::new(1, [5, 4, 3, 8], Options::SEQUENCES);
            case.x[4 * 3 * 2] = f32::NAN;
            let h_n = case.forward(device, strategy, true).0.h_n.to_vec().unwrap();
            for (row, h) in h_n.chunks(8).enumerate() {
                let nan = h.iter().all(|v| v.is_nan());
                assert_eq!(nan, row == 2, "row {row}, {strategy:?} on {name}");
            }
        }
    }
}

#[test]
fn large_inputs_saturate() {
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let mut case = Case::new(1, [2, 3, 3, 8], Options::SEQUENCES);
            case.x.iter_mut().for_each(|x| *x *= 1e30);
            let (output, _) = case.forward(device, strategy, false);
            let h_n = output.h_n.to_vec().unwrap();
            assert!(h_n.iter().all(|v| v.abs() <= 1.0), "{strategy:?} on {name}: {h_n:?}");
        }
    }
}

#[test]
fn the_same_bits_every_time() {
    let case = Case::new(1, [33, 9, 5, 64], Options::ALL);
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let run = || case.results(device, strategy);
            let bits = |tensors: Vec<Tensor>| -> Vec<Vec<f32>> {
                tensors.iter().map(|t| t.to_vec().unwrap()).collect()
            };
            assert!(bits(run()) == bits(run()), "{strategy:?} on {name}");
        }
    }
}
