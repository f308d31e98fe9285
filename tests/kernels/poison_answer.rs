//! What the oracle says of the cases of `poison`: the layers of all options, made of its LSTM.

use super::lstm::exact_cell;
use super::oracle::dense::gemm;
use super::oracle::{lstm as exact, widen};
use super::poison::{Case, Named, Part, Way, get};
use crate::nn::Merge;
use crate::ops::common::threefry::Key;
use crate::ops::lstm::cell::Noise;

/// What a direction gives: `[B,T,..]`, and the last state.
struct Ends {
    y: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
}

/// The gradients that leave it.
struct Back {
    d_x: Vec<f64>,
    d_h: Vec<f64>,
    d_c: Vec<f64>,
    weights: Named<f64>,
}

/// The way back, from the gradients of what a direction gave.
type Undo<'a> = Box<dyn FnOnce([Vec<f64>; 3]) -> Back + 'a>;

/// A case and its numbers, for the oracle.
pub(super) struct Question<'a> {
    pub(super) case: &'a Case,
    pub(super) given: &'a Named<f32>,
    pub(super) arriving: &'a Named<f32>,
    /// What is added to all biases: what hangs on the last digits changes with it.
    pub(super) shift: f64,
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Rows of `a` and of `b` next to each other.
fn beside(a: &[f64], b: &[f64], [of_a, of_b]: [usize; 2]) -> Vec<f64> {
    a.chunks(of_a).zip(b.chunks(of_b)).flat_map(|(a, b)| [a, b].concat()).collect()
}

fn apart(both: &[f64], [of_a, of_b]: [usize; 2]) -> [Vec<f64>; 2] {
    let rows = || both.chunks(of_a + of_b);
    [
        rows().flat_map(|r| r[..of_a].to_vec()).collect(),
        rows().flat_map(|r| r[of_a..].to_vec()).collect(),
    ]
}

/// Less the mean and over the deviation, and one over the deviation.
fn normalise(x: &[f64]) -> (Vec<f64>, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let root = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + f64::from(1e-5f32)).sqrt();
    (x.iter().map(|x| (x - mean) / root).collect(), 1.0 / root)
}

fn normalise_backward(d: &[f64], (normal, root): &(Vec<f64>, f64)) -> Vec<f64> {
    let n = d.len() as f64;
    let mean = d.iter().sum::<f64>() / n;
    let dot = d.iter().zip(normal).map(|(d, x)| d * x).sum::<f64>() / n;
    d.iter().zip(normal).map(|(d, x)| root * (d - mean - x * dot)).collect()
}

fn times(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// `to += a`, element by element, from `first` on.
fn add(to: &mut [f64], first: usize, a: &[f64]) {
    to[first..first + a.len()].iter_mut().zip(a).for_each(|(to, a)| *to += a);
}

impl<'a> Question<'a> {
    fn weight(&self, part: &Part, name: &str) -> Vec<f64> {
        widen(get(self.given, &format!("lstm.{name}{}", part.suffix)))
    }

    fn bias(&self, part: &Part) -> Vec<f64> {
        let columns = 4 * self.case.sizes[3];
        let bias = if self.case.bias { self.weight(part, "bias") } else { vec![0.0; columns] };
        bias.iter().map(|b| b + self.shift).collect()
    }

    fn state(&self, part: &Part) -> [Vec<f64>; 2] {
        let [b, _, _, h] = self.case.sizes;
        [("h", b * self.case.size()), ("c", b * h)].map(|(what, len)| match self.case.with_state {
            true => widen(get(self.given, &format!("{what}_0.{}", part.number))),
            false => vec![0.0; len],
        })
    }

    /// The `[B,T]` at which a row begins.
    fn first_frames(&self, part: &Part) -> Vec<usize> {
        let [b, t, ..] = self.case.sizes;
        let first = |row| if part.reverse { self.case.length(row) - 1 } else { 0 };
        (0..b).map(|row| row * t + first(row)).collect()
    }

    fn exact(&self, part: &Part, input_size: usize, weights: [Vec<f64>; 2]) -> exact::Lstm {
        let case = self.case;
        let [batch, timesteps, _, hidden_size] = case.sizes;
        let [weight_ih, weight_hh] = weights;
        let mut peepholes = &[][..];
        if case.cell.peepholes {
            peepholes = get(self.given, &format!("lstm.peephole{}", part.suffix));
        }
        // A key for each direction, in their order.
        let key = Key([case.seed as u32, (case.seed >> 32) as u32]).part(1 + part.number as u64);
        let noise = Noise { training: true, key };
        exact::Lstm {
            batch,
            timesteps,
            input_size,
            hidden_size,
            weight_ih,
            weight_hh,
            bias: self.bias(part),
            lengths: case.lengths.clone(),
            mask: case.mask.clone(),
            zero_left_out: matches!(case.way, Way::Both(_)),
            reverse: part.reverse,
            cell: exact_cell(case.cell, noise, peepholes, [batch, timesteps, hidden_size]),
        }
    }

    /// A direction by the oracle's LSTM. With a projection P, as the layer has it: the recurrence runs on
    /// `weight_hh P`, and the h before the first step comes as features of that step.
    fn plain(&'a self, part: &'a Part, x: &[f64]) -> (Ends, Undo<'a>) {
        let case = self.case;
        let ([b, t, _, h], p, i) = (case.sizes, case.size(), part.input_size);
        let projection = case.projection.map(|_| self.weight(part, "weight_hr"));
        let (mut x, mut ih) = (x.to_vec(), self.weight(part, "weight_ih"));
        let hh = self.weight(part, "weight_hh");
        let [mut h_0, c_0] = self.state(part);
        let (mut wide, mut r) = (i, hh.clone());
        let as_features = projection.is_some() && case.with_state;
        if as_features {
            let mut features = vec![0.0; b * t * p];
            for (row, frame) in self.first_frames(part).into_iter().enumerate() {
                features[frame * p..][..p].copy_from_slice(&h_0[row * p..][..p]);
            }
            (x, ih, wide) = (beside(&x, &features, [i, p]), beside(&ih, &hh, [i, p]), i + p);
        }
        if let Some(hr) = &projection {
            h_0 = vec![0.0; b * h];
            r = gemm((false, false), [4 * h, h, p], &hh, hr, None);
        }
        let lstm = self.exact(part, wide, [ih, r]);
        let out = lstm.forward(&x, &h_0, &c_0);
        let mut ends = Ends { y: out.y.clone(), h: out.h_n.clone(), c: out.c_n.clone() };
        if let Some(hr) = &projection {
            let project = |v: &[f64]| gemm((false, true), [v.len() / h, p, h], v, hr, None);
            (ends.y, ends.h) = (project(&out.y), project(&out.h_n));
            // Where the output is 0 it is so whatever the weights are.
            for frame in (0..b * t).filter(|&frame| !self.is_shown(frame)) {
                ends.y[frame * p..][..p].fill(0.0);
            }
        }
        let undo = move |[d_y, d_h, d_c]: [Vec<f64>; 3]| {
            let lift = |d: &[f64]| match &projection {
                None => d.to_vec(),
                Some(hr) => gemm((false, false), [d.len() / p, h, p], d, hr, None),
            };
            let sequence = case.gives_sequence(part.layer);
            let from_y = if sequence { lift(&d_y) } else { vec![0.0; b * t * h] };
            let d = lstm.backward(&x, &out, &from_y, &lift(&d_h), &d_c);
            let (mut d_x, mut d_ih, mut d_hh) = (d.d_x, d.d_weight_ih, d.d_weight_hh);
            let mut back_h = d.d_h_0;
            let mut weights = Named::new();
            if let Some(hr) = &projection {
                let of =
                    |a: &[f64], v: &[f64]| gemm((true, false), [p, h, a.len() / p], a, v, None);
                let mut d_hr = sum(&of(&d_h, &out.h_n), &of(&hh, &d_hh));
                if sequence {
                    d_hr = sum(&d_hr, &of(&d_y, &out.y));
                }
                weights.push(("weight_hr".into(), d_hr));
                d_hh = gemm((false, true), [4 * h, p, h], &d_hh, hr, None);
            }
            if as_features {
                let [own, of_hh] = apart(&d_ih, [i, p]);
                (d_ih, d_hh) = (own, sum(&d_hh, &of_hh));
                let [own, features] = apart(&d_x, [i, p]);
                d_x = own;
                let first = self.first_frames(part).into_iter();
                back_h = first.flat_map(|frame| features[frame * p..][..p].to_vec()).collect();
            }
            weights.extend([("weight_ih".into(), d_ih), ("weight_hh".into(), d_hh)]);
            if case.bias {
                weights.push(("bias".into(), d.d_bias));
            }
            if case.cell.peepholes {
                weights.push(("peephole".into(), d.d_peepholes));
            }
            Back { d_x, d_h: back_h, d_c: d.d_c_0, weights }
        };
        (ends, Box::new(undo))
    }

    /// Whether a frame's output is more than a 0 for a step that does not count.
    fn is_shown(&self, frame: usize) -> bool {
        let case = self.case;
        let t = case.sizes[1];
        let both = matches!(case.way, Way::Both(_));
        let left_out = case.mask.as_ref().is_some_and(|mask| !mask[frame]);
        frame % t < case.length(frame / t) && !(both && left_out)
    }

    /// A direction of a normalised layer.
    fn normed(&'a self, part: &'a Part, x: &[f64]) -> (Ends, Undo<'a>) {
        let ([b, t, _, h], i) = (self.case.sizes, part.input_size);
        let w = Normed {
            ih: self.weight(part, "weight_ih"),
            hh: self.weight(part, "weight_hh"),
            bias: self.bias(part),
            norms: ["norm_ih", "norm_hh", "norm_c", "norm_c_bias"].map(|n| self.weight(part, n)),
        };
        let [mut state_h, mut state_c] = self.state(part);
        let mut y = vec![0.0; b * t * h];
        let mut steps = Vec::new();
        for row in 0..b {
            let own = row * h..(row + 1) * h;
            for step in 0..self.case.length(row) {
                let at = if part.reverse { self.case.length(row) - 1 - step } else { step };
                let frame = row * t + at;
                let input = &x[frame * i..][..i];
                let step = w.step(input, &state_h[own.clone()], &state_c[own.clone()]);
                let new = times(&step.gates[3], &step.value);
                y[frame * h..][..h].copy_from_slice(&new);
                state_h[own.clone()].copy_from_slice(&new);
                state_c[own.clone()].copy_from_slice(&step.c);
                steps.push((row, frame, step));
            }
        }
        let frames = x.len();
        let undo = move |[d_y, mut d_h, mut d_c]: [Vec<f64>; 3]| {
            let mut d_x = vec![0.0; frames];
            let zeros = |of: &Vec<f64>| vec![0.0; of.len()];
            let mut d = Normed {
                ih: zeros(&w.ih),
                hh: zeros(&w.hh),
                bias: zeros(&w.bias),
                norms: w.norms.each_ref().map(zeros),
            };
            for (row, frame, step) in steps.into_iter().rev() {
                let own = row * h..(row + 1) * h;
                let of_h = sum(&d_h[own.clone()], &d_y[frame * h..][..h]);
                let [d_input, before_h, before_c] =
                    w.step_back(&step, &of_h, &d_c[own.clone()], &mut d);
                add(&mut d_x, frame * i, &d_input);
                d_h[own.clone()].copy_from_slice(&before_h);
                d_c[own].copy_from_slice(&before_c);
            }
            let mut weights = vec![("weight_ih".to_owned(), d.ih), ("weight_hh".to_owned(), d.hh)];
            let names = ["norm_ih", "norm_hh", "norm_c", "norm_c_bias"].map(str::to_owned);
            weights.extend(names.into_iter().zip(d.norms));
            if self.case.bias {
                weights.push(("bias".to_owned(), d.bias));
            }
            Back { d_x, d_h, d_c, weights }
        };
        (Ends { y, h: state_h, c: state_c }, Box::new(undo))
    }

    /// What a layer makes of its directions' outputs.
    fn merge(&self, shown: &[Vec<f64>]) -> Vec<f64> {
        let size = self.case.size();
        let (a, b) = (&shown[0], &shown[shown.len() - 1]);
        match self.case.way {
            Way::Both(Merge::Concat) => beside(a, b, [size; 2]),
            Way::Both(Merge::Sum) => sum(a, b),
            Way::Both(Merge::Mean) => sum(a, b).iter().map(|v| 0.5 * v).collect(),
            Way::Both(Merge::Product) => times(a, b),
            _ => a.clone(),
        }
    }

    fn merge_backward(&self, shown: &[Vec<f64>], d: Vec<f64>) -> Vec<Vec<f64>> {
        match self.case.way {
            Way::Both(Merge::Concat) => apart(&d, [self.case.size(); 2]).to_vec(),
            Way::Both(Merge::Sum) => vec![d.clone(), d],
            Way::Both(Merge::Mean) => vec![d.iter().map(|d| 0.5 * d).collect(); 2],
            Way::Both(Merge::Product) => vec![times(&d, &shown[1]), times(&d, &shown[0])],
            _ => vec![d],
        }
    }

    /// Both passes, by the names that [`Case`] gives its numbers.
    pub(super) fn answer(&self) -> Named<f64> {
        let case = self.case;
        let [b, t, ..] = case.sizes;
        let parts = case.parts();
        let mut x = widen(get(self.given, "x"));
        let (mut found, mut layers) = (Named::new(), Vec::new());
        for layer in parts.chunks(case.ways().len()) {
            let (mut shown, mut undos) = (Vec::new(), Vec::new());
            for part in layer {
                let (ends, undo) =
                    if case.norm { self.normed(part, &x) } else { self.plain(part, &x) };
                let output = if case.gives_sequence(part.layer) { &ends.y } else { &ends.h };
                shown.push(output.clone());
                undos.push((part, undo));
                found.push((format!("h_n.{}", part.number), ends.h));
                found.push((format!("c_n.{}", part.number), ends.c));
            }
            x = self.merge(&shown);
            layers.push((shown, undos));
        }
        found.push(("output".into(), x));
        let arriving = |name: String| widen(get(self.arriving, &name));
        let mut d = arriving("d_output".into());
        for (shown, undos) in layers.into_iter().rev() {
            let mut d_x: Option<Vec<f64>> = None;
            for ((part, undo), mut d_y) in undos.into_iter().zip(self.merge_backward(&shown, d)) {
                let mut d_h = arriving(format!("d_h_n.{}", part.number));
                if !case.gives_sequence(part.layer) {
                    add(&mut d_h, 0, &d_y);
                    d_y = vec![0.0; b * t * case.size()];
                }
                let back = undo([d_y, d_h, arriving(format!("d_c_n.{}", part.number))]);
                d_x = Some(d_x.map_or(back.d_x.clone(), |d_x| sum(&d_x, &back.d_x)));
                let named =
                    |(name, d): (String, Vec<f64>)| (format!("d_lstm.{name}{}", part.suffix), d);
                found.extend(back.weights.into_iter().map(named));
                if case.with_state {
                    found.push((format!("d_h_0.{}", part.number), back.d_h));
                    found.push((format!("d_c_0.{}", part.number), back.d_c));
                }
            }
            d = d_x.unwrap_or_default();
        }
        found.push(("d_x".into(), d));
        found
    }
}

/// The parameters of a direction of a normalised layer, or their gradients. Of Ba et al. 2016, equations
/// 20 to 22.
struct Normed {
    ih: Vec<f64>,
    hh: Vec<f64>,
    bias: Vec<f64>,
    /// The gains of W x, R h and c, and the shifts of c.
    norms: [Vec<f64>; 4],
}

/// A step of a row: what it met, and what it made of that.
struct Step {
    x: Vec<f64>,
    h: Vec<f64>,
    c_before: Vec<f64>,
    /// W x, R h and the new c, normalised.
    normal: [(Vec<f64>, f64); 3],
    /// i, f, g, o.
    gates: [Vec<f64>; 4],
    c: Vec<f64>,
    /// What o lets through.
    value: Vec<f64>,
}

impl Normed {
    fn step(&self, x: &[f64], h: &[f64], c: &[f64]) -> Step {
        let size = h.len();
        let product = |w: &[f64], v: &[f64]| {
            normalise(&gemm((false, false), [4 * size, 1, v.len()], w, v, None))
        };
        let (of_x, of_h) = (product(&self.ih, x), product(&self.hh, h));
        let [gain_x, gain_h, gain_c, shift_c] = &self.norms;
        let a = sum(&sum(&times(gain_x, &of_x.0), &self.bias), &times(gain_h, &of_h.0));
        let gates = [0, 1, 2, 3].map(|gate| {
            let act = if gate == 2 { exact::Act::Tanh } else { exact::Act::Sigmoid };
            a[gate * size..][..size].iter().map(|&a| act.value(a)).collect::<Vec<_>>()
        });
        let new = sum(&times(&gates[1], c), &times(&gates[0], &gates[2]));
        let of_c = normalise(&new);
        let value = sum(&times(gain_c, &of_c.0), shift_c).iter().map(|v| v.tanh()).collect();
        let (x, h, c_before) = (x.to_vec(), h.to_vec(), c.to_vec());
        Step { x, h, c_before, normal: [of_x, of_h, of_c], gates, c: new, value }
    }

    /// The gradients of x, h and c before the step; adds those of the parameters to `d`.
    fn step_back(&self, step: &Step, d_h: &[f64], d_c: &[f64], d: &mut Self) -> [Vec<f64>; 3] {
        let size = d_h.len();
        let [i, f, g, o] = &step.gates;
        let [of_x, of_h, of_c] = &step.normal;
        let sigmoid = |y: &[f64]| y.iter().map(|y| y * (1.0 - y)).collect::<Vec<_>>();
        let tanh = |y: &[f64]| y.iter().map(|y| 1.0 - y * y).collect::<Vec<_>>();
        let d_value = times(&times(d_h, o), &tanh(&step.value));
        add(&mut d.norms[2], 0, &times(&d_value, &of_c.0));
        add(&mut d.norms[3], 0, &d_value);
        let d_c = sum(d_c, &normalise_backward(&times(&d_value, &self.norms[2]), of_c));
        let d_a = [
            times(&times(&d_c, g), &sigmoid(i)),
            times(&times(&d_c, &step.c_before), &sigmoid(f)),
            times(&times(&d_c, i), &tanh(g)),
            times(&times(d_h, &step.value), &sigmoid(o)),
        ]
        .concat();
        add(&mut d.bias, 0, &d_a);
        let [of_input, of_state] = [(0, of_x, &self.ih, &step.x), (1, of_h, &self.hh, &step.h)]
            .map(|(n, normal, w, v)| {
                add(&mut d.norms[n], 0, &times(&d_a, &normal.0));
                let d_z = normalise_backward(&times(&d_a, &self.norms[n]), normal);
                let d_w = gemm((false, false), [4 * size, v.len(), 1], &d_z, v, None);
                add(if n == 0 { &mut d.ih } else { &mut d.hh }, 0, &d_w);
                gemm((false, false), [1, v.len(), 4 * size], &d_z, w, None)
            });
        [of_input, of_state, times(&d_c, f)]
    }
}
