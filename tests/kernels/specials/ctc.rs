//! Labels without a place in time.

use super::super::oracle::Random;
use super::super::oracle::dense::{Activation, activate};
use super::super::tensor;
use super::{Case, argument, none, nothing, words};
use crate::ops::loss::ctc;
use crate::ops::norm::softmax;
use crate::{Device, Tensor};

const CTC: [usize; 3] = [4, 7, 5];
const LONGEST: usize = 3;
const BLANK: u32 = 2;
const LABELS: [&[u32]; 4] = [&[0, 0, 4], &[], &[1, 3], &[4, 1]];
const FRAMES: [usize; 4] = [6, 4, 7, 7];

/// A row's loss and the gradient of its logits, from the probabilities of all paths: the few steps
/// let none of these vanish.
fn ctc_row(row: usize, x: &[f64], scale: f64, d_loss: f64) -> (f64, Vec<f64>) {
    let ([_, _, c], frames) = (CTC, FRAMES[row]);
    let mut d_x = vec![0.0; x.len()];
    if nothing("ctc", scale) {
        return (0.0, d_x);
    }
    let states: Vec<usize> = std::iter::once(BLANK)
        .chain(LABELS[row].iter().flat_map(|&label| [label, BLANK]))
        .map(|label| label as usize)
        .collect();
    let count = states.len();
    let p = activate(Activation::Softmax, &x[..frames * c], c);
    let of = |t: usize, s: usize| p[t * c + states[s]];
    // Whether a path may go from a state to another.
    let leads = |from: usize, to: usize| {
        let skips = to == from + 2 && states[to] != BLANK as usize && states[to] != states[from];
        to == from || to == from + 1 || skips
    };
    let mut alpha = vec![vec![0.0; count]; frames];
    for t in 0..frames {
        for s in 0..count {
            let sum: f64 = match t {
                0 => f64::from(u8::from(s < 2)),
                _ => (0..=s).filter(|&from| leads(from, s)).map(|from| alpha[t - 1][from]).sum(),
            };
            alpha[t][s] = sum * of(t, s);
        }
    }
    let mut beta = vec![vec![0.0; count]; frames];
    for t in (0..frames).rev() {
        for s in 0..count {
            beta[t][s] = if t + 1 == frames {
                f64::from(u8::from(s + 2 >= count))
            } else {
                let after = (s..count).filter(|&to| leads(s, to));
                after.map(|to| beta[t + 1][to] * of(t + 1, to)).sum()
            };
        }
    }
    let total: f64 = alpha[frames - 1].iter().rev().take(2).sum();
    if total == 0.0 {
        // No path says the labels: the loss and the gradient that the test names for that.
        d_x[..frames * c].fill(f64::NAN);
        return (f64::INFINITY, d_x);
    }
    let factor = d_loss * scale;
    for t in 0..frames {
        for k in 0..c {
            // An infinite factor makes NaN of the difference, as it goes to either part.
            d_x[t * c + k] = factor * p[t * c + k];
            for s in (0..count).filter(|&s| states[s] == k) {
                d_x[t * c + k] -= factor * (alpha[t][s] * beta[t][s] / total);
            }
        }
    }
    (-scale * total.ln(), d_x)
}

fn ctc_wanted(scales: &[f32], device: &Device) -> ctc::Wanted {
    let b = LABELS.len();
    let mut table = vec![0u32; b * LONGEST * 3];
    for (row, labels) in LABELS.iter().enumerate() {
        for (i, label) in labels.iter().enumerate() {
            let next = labels[i + 1..].iter().position(|l| l == label);
            let first = u32::from(!labels[..i].contains(label));
            let entry = [*label, first, next.map_or(0, |n| (i + 1 + n + 1) as u32)];
            table[(row * LONGEST + i) * 3..][..3].copy_from_slice(&entry);
        }
    }
    let rows: Vec<_> =
        (0..b).flat_map(|row| [FRAMES[row] as u32, LABELS[row].len() as u32]).collect();
    ctc::Wanted {
        labels: Tensor::from_u32(&table, [table.len()], device).unwrap(),
        rows: Tensor::from_u32(&rows, [b, 2], device).unwrap(),
        scales: tensor(scales, [b], device),
        longest: LONGEST,
        blank: BLANK,
        impossible: f32::INFINITY,
        slope: f32::NAN,
    }
}

#[test]
fn paths_of_labels() {
    let mut failures = Vec::new();
    let ([b, t, c], seed) = (CTC, 115);
    let mut r = Random::new(seed);
    let scales = vec![1.2, 0.7, 0.0, 0.5];
    let off = |i: &usize| {
        let (row, at) = (i / c / t, i / c % t);
        at >= FRAMES[row] || row == 2
    };
    Case {
        op: "ctc",
        what: String::new(),
        seed,
        bound: 1e-4,
        arguments: vec![
            argument("x", r.uniform(b * t * c, -2.0, 2.0)).but((0..b * t * c).filter(off)),
            argument("scales", scales),
            argument("d_loss", vec![0.7]),
        ],
        run: &|device, x| {
            let wanted = ctc_wanted(&x[1], device);
            let lp = softmax::log_softmax(&tensor(&x[0], CTC, device)).unwrap();
            let (loss, alpha) = ctc::forward(&lp, CTC, &wanted).unwrap();
            let d_loss = tensor(&x[2], [1], device);
            let d_x = ctc::backward(&lp, CTC, &wanted, &alpha, &d_loss);
            vec![loss.to_vec().unwrap(), words(d_x)]
        },
        formula: &|x| {
            let rows = x[0].chunks(t * c).enumerate();
            let (loss, d_x): (Vec<_>, Vec<_>) =
                rows.map(|(row, of)| ctc_row(row, of, x[1][row], x[2][0])).unzip();
            vec![loss, d_x.concat()]
        },
    }
    .check(&mut failures);
    none(&failures);
}
