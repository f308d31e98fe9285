//! One NaN among a layer's numbers: what is computed of it is NaN, and nothing else is. Layers of every
//! kind at random, on the CPU and on a GPU, against the oracle, which is plain arithmetic.
//!
//! `WGPU_LSTM_FUZZ_CASES` asks for more cases than the usual, `WGPU_LSTM_FUZZ_SEED` for another first
//! seed: with one case, to see it alone.

use super::oracle::Random;
use super::poison_answer::Question;
use super::{forced, gpu, quick, tensor};
use crate::device::overrides::Forced;
use crate::nn::{Lstm, LstmState, Merge, Params};
use crate::ops::lstm::cell::Cell;
use crate::{
    Coupling, Device, Error, GateActivation, GpuOptions, Lengths, Mask, Result, Strategy, Tape,
};
use std::sync::OnceLock;

const CASES: u64 = 300;
const CASES_IF_QUICK: u64 = 30;
/// Failures that are told before the rest is left.
const TOLD: usize = 20;

pub(super) type Named<T> = Vec<(String, Vec<T>)>;

pub(super) fn get<'a, T>(all: &'a Named<T>, name: &str) -> &'a [T] {
    let found = all.iter().find(|(n, _)| n == name);
    &found.unwrap_or_else(|| panic!("no {name}")).1
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    Forward,
    Backward,
    Both(Merge),
}

/// A layer and what it runs on.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    /// `[B,T,I,H]`
    pub(super) sizes: [usize; 4],
    pub(super) layers: usize,
    pub(super) way: Way,
    pub(super) cell: Cell,
    pub(super) bias: bool,
    pub(super) projection: Option<usize>,
    pub(super) norm: bool,
    recompute: bool,
    pub(super) sequences: bool,
    pub(super) with_state: bool,
    pub(super) lengths: Option<Vec<usize>>,
    pub(super) mask: Option<Vec<bool>>,
    strategy: Strategy,
    /// Whether the GPU checks what it does: as slow as it is, a share of the cases.
    checked: bool,
}

/// A direction of a layer.
pub(super) struct Part {
    /// In the order of the states.
    pub(super) number: usize,
    pub(super) layer: usize,
    pub(super) reverse: bool,
    pub(super) suffix: String,
    pub(super) input_size: usize,
}

fn random_cell(r: &mut Random) -> Cell {
    use GateActivation as G;
    let act = |r: &mut Random, usual: G| {
        let all = [
            G::Sigmoid,
            G::Tanh,
            G::Relu,
            G::Affine { alpha: 0.5, beta: 0.1 },
            G::HardSigmoid { alpha: 0.2, beta: 0.5 },
            G::LeakyRelu { alpha: 0.1 },
            G::ScaledTanh { alpha: 1.5, beta: 0.7 },
            G::Elu { alpha: 0.8 },
            G::Softsign,
            G::Softplus,
            G::ThresholdedRelu { alpha: 0.1 },
        ];
        if r.below(2) == 0 { usual } else { all[r.below(all.len())] }
    };
    let share = |r: &mut Random, value: f32| if r.below(3) == 0 { value } else { 0.0 };
    let couplings = [Coupling::None, Coupling::InputFollowsForget, Coupling::ForgetFollowsInput];
    Cell {
        recurrent: act(r, G::Sigmoid),
        input: act(r, G::Tanh),
        output: act(r, G::Tanh),
        coupling: couplings[r.below(3)],
        clip: (r.below(3) == 0).then_some(0.8),
        cell_clip: (r.below(3) == 0).then_some(0.5),
        peepholes: r.below(2) == 0,
        recurrent_dropout: share(r, 0.4),
        zoneout: [share(r, 0.3), share(r, 0.2)],
    }
}

impl Case {
    fn new(seed: u64) -> Self {
        let r = &mut Random::new(seed);
        let checked = r.below(8) == 0;
        let kind = r.below(5);
        let norm = kind == 0;
        let strategies =
            [Strategy::Auto, Strategy::Sequence, Strategy::Stepwise, Strategy::Persistent];
        let strategy = if norm { Strategy::Auto } else { strategies[r.below(4)] };
        let persistent = strategy == Strategy::Persistent;
        // Most schedules have the size in their pipelines, which take long to make.
        let hidden_size = if norm || strategy == Strategy::Stepwise {
            let size = match r.below(9) {
                0 => 17,
                1 => 33,
                _ => 1 + r.below(9),
            };
            // What is normalised over one unit is 0 up to rounding, which the norm then makes large.
            if norm { size.max(2) } else { size }
        } else if checked || persistent {
            9
        } else {
            [3, 9, 17][r.below(3)]
        };
        let projection = (kind == 1 && hidden_size > 1).then(|| 1 + r.below(hidden_size - 1));
        let plain = norm || persistent || r.below(4) == 0;
        let mut cell = if plain { Cell::default() } else { random_cell(r) };
        if projection.is_some() {
            (cell.recurrent_dropout, cell.zoneout) = (0.0, [0.0; 2]);
        }
        let [b, t, i] = [1 + r.below(5), 1 + r.below(6), 1 + r.below(5)];
        let steps = r.below(3);
        let mask = (steps == 2).then(|| (0..b * t).map(|_| r.below(3) > 0).collect::<Vec<_>>());
        let merges = [Merge::Concat, Merge::Sum, Merge::Mean, Merge::Product];
        Self {
            seed,
            sizes: [b, t, i, hidden_size],
            layers: 1 + r.below(3),
            way: [Way::Forward, Way::Backward, Way::Both(merges[r.below(4)])][r.below(3)],
            cell,
            bias: r.below(4) > 0,
            projection,
            norm,
            recompute: !norm && r.below(3) == 0,
            sequences: r.below(3) > 0,
            with_state: r.below(2) == 0,
            lengths: (steps == 1).then(|| (0..b).map(|_| r.below(t + 1)).collect()),
            mask,
            strategy,
            checked,
        }
    }

    fn layer(&self) -> Lstm {
        let (h, cell) = (self.sizes[3], &self.cell);
        let mut lstm = Lstm::new(h).num_layers(self.layers).strategy(self.strategy);
        lstm = lstm.recurrent_activation(cell.recurrent).activation(cell.input);
        lstm = lstm.output_activation(cell.output).coupled(cell.coupling);
        lstm = lstm.recurrent_dropout(cell.recurrent_dropout);
        lstm = lstm.zoneout(cell.zoneout[0], cell.zoneout[1]);
        lstm = cell.clip.into_iter().fold(lstm, Lstm::clip);
        lstm = cell.cell_clip.into_iter().fold(lstm, Lstm::cell_clip);
        lstm = self.projection.into_iter().fold(lstm, Lstm::projection);
        lstm = match self.way {
            Way::Forward => lstm,
            Way::Backward => lstm.go_backwards(),
            Way::Both(merge) => lstm.bidirectional(merge),
        };
        /// Whether an option is on, and how it is set.
        type Switch = (bool, fn(Lstm) -> Lstm);
        let switches: [Switch; 5] = [
            (cell.peepholes, Lstm::peepholes),
            (!self.bias, Lstm::no_bias),
            (self.norm, Lstm::layer_norm),
            (self.recompute, Lstm::recompute),
            (self.sequences, Lstm::return_sequences),
        ];
        switches.into_iter().filter(|(on, _)| *on).fold(lstm, |lstm, (_, switch)| switch(lstm))
    }

    /// The features of a direction's output.
    pub(super) fn size(&self) -> usize {
        self.projection.unwrap_or(self.sizes[3])
    }

    fn width(&self) -> usize {
        self.size() * if self.way == Way::Both(Merge::Concat) { 2 } else { 1 }
    }

    pub(super) fn ways(&self) -> &'static [bool] {
        match self.way {
            Way::Forward => &[false],
            Way::Backward => &[true],
            Way::Both(_) => &[false, true],
        }
    }

    pub(super) fn parts(&self) -> Vec<Part> {
        let both = self.ways().len() == 2;
        let part = |number: usize| {
            let layer = number / self.ways().len();
            let reverse = self.ways()[number % self.ways().len()];
            let suffix = format!("_l{layer}{}", if reverse && both { "_reverse" } else { "" });
            let input_size = if layer == 0 { self.sizes[2] } else { self.width() };
            Part { number, layer, reverse, suffix, input_size }
        };
        (0..self.layers * self.ways().len()).map(part).collect()
    }

    pub(super) fn length(&self, row: usize) -> usize {
        self.lengths.as_ref().map_or(self.sizes[1], |lengths| lengths[row])
    }

    /// Whether the layer's outputs, not the last state alone, are what goes on.
    pub(super) fn gives_sequence(&self, layer: usize) -> bool {
        self.sequences || layer + 1 < self.layers
    }

    /// Everything that may be poisoned, and the gradients that arrive.
    fn numbers(&self, r: &mut Random) -> [Named<f32>; 2] {
        let [b, t, i, h] = self.sizes;
        let params = Params::new(&Device::poisoned_cpu());
        let _ = self.layer().build(&params, i).unwrap();
        let size = 0.8 / (h as f32).sqrt();
        let mut given = Named::new();
        for name in params.names() {
            let len = params.shape(&name).unwrap().iter().product();
            let [low, high] = match name.trim_start_matches("lstm.") {
                n if n.starts_with("norm_c_bias") || n.starts_with("bias") => [-0.5, 0.5],
                n if n.starts_with("norm") => [0.5, 1.5],
                n if n.starts_with("peephole") => [-0.5, 0.5],
                _ => [-size, size],
            };
            given.push((name, r.uniform(len, low, high)));
        }
        given.push(("x".into(), r.uniform(b * t * i, -1.0, 1.0)));
        let frames = if self.sequences { b * t } else { b };
        let mut arriving = vec![("d_output".into(), r.uniform(frames * self.width(), -1.0, 1.0))];
        for number in 0..self.layers * self.ways().len() {
            for (what, len) in [("h", b * self.size()), ("c", b * h)] {
                arriving.push((format!("d_{what}_n.{number}"), r.uniform(len, -1.0, 1.0)));
                if self.with_state {
                    given.push((format!("{what}_0.{number}"), r.uniform(len, -1.0, 1.0)));
                }
            }
        }
        [given, arriving]
    }

    /// What a device makes of it.
    fn run(
        &self,
        device: &Device,
        given: &Named<f32>,
        arriving: &Named<f32>,
    ) -> Result<Named<f32>> {
        let [b, t, i, h] = self.sizes;
        let params = Params::seeded(device, self.seed);
        let layer = self.layer().build(&params, i)?;
        for name in params.names() {
            params.set(&name, get(given, &name))?;
        }
        let tape = Tape::new(&params);
        let input = tape.input(tensor(get(given, "x"), [b, t, i], device));
        let mask = self.mask.as_ref().map(|m| Mask::new(m, [b, t], device)).transpose()?;
        let lengths = self.lengths.as_ref().map(|l| Lengths::new(l, device)).transpose()?;
        let x = input.clone().with_lengths(lengths).with_mask(mask);
        let state = |number: usize| {
            let var = |what: &str, size| {
                tape.input(tensor(get(given, &format!("{what}_0.{number}")), [b, size], device))
            };
            LstmState { h: var("h", self.size()), c: var("c", h) }
        };
        let count = if self.with_state { self.layers * self.ways().len() } else { 0 };
        let states: Vec<_> = (0..count).map(state).collect();
        let out = layer.run(&tape, &x, self.with_state.then_some(&states[..]))?;
        let d = |name: &str, shape: &[usize]| tensor(get(arriving, name), shape, device);
        let mut found = vec![("output".to_owned(), out.output.tensor().to_vec()?)];
        let mut seeds = vec![(&out.output, d("d_output", out.output.shape()))];
        for (number, state) in out.state.iter().enumerate() {
            for (what, var) in [("h", &state.h), ("c", &state.c)] {
                found.push((format!("{what}_n.{number}"), var.tensor().to_vec()?));
                seeds.push((var, d(&format!("d_{what}_n.{number}"), var.shape())));
            }
        }
        let gradients = tape.backward_from(&seeds)?;
        let mut inputs = vec![("d_x".to_owned(), &input)];
        for (number, state) in states.iter().enumerate() {
            inputs.push((format!("d_h_0.{number}"), &state.h));
            inputs.push((format!("d_c_0.{number}"), &state.c));
        }
        for (name, var) in inputs {
            found.push((name, gradients.get(var).expect("a gradient").to_vec()?));
        }
        for name in params.names() {
            found.push((format!("d_{name}"), params.gradient(&name)?));
        }
        Ok(found)
    }
}

/// A case's numbers as the oracle has them.
struct Answers {
    /// With the NaN, and without.
    poisoned: Named<f64>,
    clean: Named<f64>,
    /// Without, and all biases a little larger or smaller.
    around: [Named<f64>; 2],
}

impl Answers {
    fn new(case: &Case, given: &Named<f32>, poisoned: &Named<f32>, arriving: &Named<f32>) -> Self {
        let answer = |given, shift| Question { case, given, arriving, shift }.answer();
        Self {
            poisoned: answer(poisoned, 0.0),
            clean: answer(given, 0.0),
            around: [1e-5, -1e-5].map(|shift| answer(given, shift)),
        }
    }

    /// Whether the numbers are such as floats of 32 bits can follow: some cells grow without bound.
    fn is_calm(&self) -> bool {
        self.clean.iter().flat_map(|(_, values)| values).all(|v| v.abs() < 1e6)
    }

    /// That the oracle's own NaN reach all that depends on them: what is none is as without.
    fn check_themselves(&self, what: &str) {
        for ((name, poisoned), (_, clean)) in self.poisoned.iter().zip(&self.clean) {
            let wrong = poisoned.iter().zip(clean).position(|(p, c)| !p.is_nan() && p != c);
            assert_eq!(wrong, None, "the oracle's {name} of {what}");
        }
    }

    /// The first number that is wrong.
    fn wrong(&self, found: &Named<f32>) -> Option<String> {
        assert_eq!(found.len(), self.clean.len());
        self.poisoned.iter().find_map(|(name, poisoned)| {
            let (found, clean) = (get(found, name), get(&self.clean, name));
            let [up, down] = self.around.each_ref().map(|around| get(around, name));
            if found.len() != clean.len() {
                return Some(format!("{name} has {} values, not {}", found.len(), clean.len()));
            }
            let largest = clean.iter().fold(1e-2f64, |m, v| m.max(v.abs()));
            let is_wrong = |&at: &usize| {
                if poisoned[at].is_nan() || found[at].is_nan() {
                    return poisoned[at].is_nan() != found[at].is_nan();
                }
                // Where a slope jumps, either side may be met.
                let apart = (up[at] - clean[at]).abs().max((down[at] - clean[at]).abs());
                (f64::from(found[at]) - clean[at]).abs() > 1e-3 * largest + 2.0 * apart
            };
            let at = (0..found.len()).find(is_wrong)?;
            let count = (0..found.len()).filter(is_wrong).count();
            let (found, expected) = (found[at], poisoned[at]);
            Some(format!("{name}[{at}] is {found}, expected {expected}; {count} are wrong"))
        })
    }
}

/// The CPU, a GPU, and one that checks what it does; shared, since each makes its pipelines anew.
fn devices() -> &'static [(&'static str, Device); 3] {
    static DEVICES: OnceLock<[(&str, Device); 3]> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let options = || GpuOptions::default().poison().threads(2);
        let gpus = [gpu(options()), gpu(options().checked())].map(|device| {
            // So that `Strategy::Persistent` shares R even of small layers.
            let patience = Forced { polls: Some(1 << 14), ..Forced::default() };
            forced(&device, Forced { workgroups: Some(2), ..patience });
            device
        });
        let [plain, checked] = gpus;
        [("CPU", Device::poisoned_cpu()), ("GPU", plain), ("checked GPU", checked)]
    })
}

/// What went wrong in a case, and on how many devices it ran.
fn check(seed: u64) -> (Vec<String>, usize) {
    let case = Case::new(seed);
    let r = &mut Random::new(!seed);
    let [given, arriving] = case.numbers(r);
    let x = given.iter().position(|(name, _)| name == "x").unwrap();
    let place = if r.below(3) == 0 { x } else { r.below(given.len()) };
    let mut poisoned = given.clone();
    let (name, values) = &mut poisoned[place];
    let at = r.below(values.len());
    let what = format!("{name}[{at}], {}, as NaN in {case:?}", values[at]);
    values[at] = f32::NAN;
    let answers = Answers::new(&case, &given, &poisoned, &arriving);
    if !answers.is_calm() {
        return (vec![], 0);
    }
    answers.check_themselves(&what);
    let [cpu, plain, checked] = devices();
    let mut ran = 0;
    let mut failures = Vec::new();
    for (device_name, device) in [cpu, if case.checked && !quick() { checked } else { plain }] {
        let wrong = match case.run(device, &poisoned, &arriving) {
            // Whether a strategy can run a layer is the device's to say.
            Err(Error::Strategy { .. }) => continue,
            Err(error) => Some(error.to_string()),
            Ok(found) => answers.wrong(&found),
        };
        ran += 1;
        failures.extend(wrong.map(|wrong| format!("{device_name}: {wrong}. {what}")));
    }
    (failures, ran)
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_nan_reaches_all_that_depends_on_it_and_nothing_else() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
    };
    let first = number("WGPU_LSTM_FUZZ_SEED", 0);
    let cases = number("WGPU_LSTM_FUZZ_CASES", if quick() { CASES_IF_QUICK } else { CASES });
    let (mut failures, mut ran) = (Vec::new(), 0);
    for seed in first..first + cases {
        let (wrong, devices) = check(seed);
        failures.extend(wrong);
        ran += devices;
        if failures.len() >= TOLD {
            break;
        }
    }
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n\n"));
    // Few cases grow too large to be compared.
    assert!(cases < 10 || ran as u64 > cases, "{cases} cases ran {ran} times");
}
