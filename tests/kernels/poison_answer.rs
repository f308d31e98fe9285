//! What the oracle says of the cases of `poison`: the layers of all options, made of its LSTM.

use super::lstm::exact_cell;
use super::oracle::dense::gemm;
use super::oracle::{lstm as exact, widen};
use super::poison::{Case, Named, Part, Way, get};
use super::poison_norm::{Normed, add, sum, times};
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

    /// The steps of a row that count, in the order in which a direction takes them.
    fn order(&self, part: &Part, row: usize) -> Vec<usize> {
        let t = self.case.sizes[1];
        let counts = |&frame: &usize| self.case.mask.as_ref().is_none_or(|mask| mask[frame]);
        let mut frames: Vec<_> =
            (row * t..row * t + self.case.length(row)).filter(counts).collect();
        if part.reverse {
            frames.reverse();
        }
        frames
    }

    /// The rows that begin at some frame of `[B,T]`, and which.
    fn first_frames(&self, part: &Part) -> Vec<(usize, usize)> {
        let rows = 0..self.case.sizes[0];
        rows.filter_map(|row| Some((row, *self.order(part, row).first()?))).collect()
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
            cell: exact_cell(
                case.cell,
                noise,
                peepholes,
                [batch, timesteps, hidden_size],
                case.mask.as_deref(),
            ),
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
            for (row, frame) in self.first_frames(part) {
                features[frame * p..][..p].copy_from_slice(&h_0[row * p..][..p]);
            }
            (x, ih, wide) = (beside(&x, &features, [i, p]), beside(&ih, &hh, [i, p]), i + p);
        }
        let given_h = h_0.clone();
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
            // What stands for the state before is the state itself.
            for row in (0..b).filter(|&row| as_features && self.order(part, row).is_empty()) {
                ends.h[row * p..][..p].copy_from_slice(&given_h[row * p..][..p]);
            }
        }
        let undo = move |[d_y, mut d_h, d_c]: [Vec<f64>; 3]| {
            let mut to_state = vec![0.0; b * p];
            for row in (0..b).filter(|&row| as_features && self.order(part, row).is_empty()) {
                let d = &mut d_h[row * p..][..p];
                add(&mut to_state, row * p, d);
                d.fill(0.0);
            }
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
                back_h = to_state;
                for (row, frame) in self.first_frames(part) {
                    add(&mut back_h, row * p, &features[frame * p..][..p]);
                }
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

    /// The frames that have the output of this one, which counts.
    fn repeating(&self, part: &Part, frame: usize) -> Vec<usize> {
        let t = self.case.sizes[1];
        let (first, end) = (frame / t * t, (frame / t + 1) * t);
        let mut after: Vec<_> = match part.reverse {
            true => (first..frame).rev().collect(),
            false => (frame + 1..end).collect(),
        };
        let both = self.case.ways().len() == 2;
        match &self.case.mask {
            Some(mask) if !both => after = after.into_iter().take_while(|&f| !mask[f]).collect(),
            _ => after.clear(),
        }
        after.insert(0, frame);
        after
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
            for frame in self.order(part, row) {
                let input = &x[frame * i..][..i];
                let step = w.step(input, &state_h[own.clone()], &state_c[own.clone()]);
                let new = times(&step.gates[3], &step.value);
                for frame in self.repeating(part, frame) {
                    y[frame * h..][..h].copy_from_slice(&new);
                }
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
                for frame in self.repeating(part, frame) {
                    add(&mut d_h, row * h, &d_y[frame * h..][..h]);
                }
                let of_h = d_h[own.clone()].to_vec();
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
