//! A linear-chain CRF: kernels and twins against the sums over paths, of all sizes on both sides of what a vector, a
//! workgroup and a part of a sum take; and what stands in its numbers.

use super::oracle::crf::Crf;
use super::oracle::{Random, widen};
use super::{assert_same_bits, close, close_from, close_values, devices, quick, tensor};
use crate::ops::loss::answers::{CLASS, RANK, WIDTH};
use crate::ops::loss::crf::{Chains, NEVER};
use crate::{Device, Tensor};

/// Rows of a batch, of which frames are left out.
struct Batch {
    dims: [usize; 3],
    x: Vec<f32>,
    scores: Vec<f32>,
    /// Of each row the frames that count, and their tags.
    rows: Vec<Vec<(usize, usize)>>,
    scales: Vec<f32>,
}

/// What a batch is to give: the losses, the gradients, the marginals and the scores of the best paths.
#[derive(Default)]
struct Expected {
    losses: Vec<f64>,
    d_x: Vec<f64>,
    d_scores: Vec<f64>,
    q: Vec<f64>,
    best: Vec<f64>,
}

const D_LOSS: f32 = 0.7;

impl Batch {
    /// Random emissions within ±`size`; rows get shorter, and every seventh frame is left out.
    fn new(r: &mut Random, [b, t, k]: [usize; 3], size: f32) -> Self {
        let mut rows = Vec::new();
        for row in 0..b {
            let length = t - (row * t / 2 / b);
            let frames = (0..length).filter(|t| t % 7 != 5 || row == 0);
            rows.push(frames.map(|t| (t, r.below(k))).collect());
        }
        let x = r.uniform(b * t * k, -size, size);
        let scores = r.uniform((k + 2) * k, -1.0, 1.0);
        Self { dims: [b, t, k], x, scores, rows, scales: r.uniform(b, 0.1, 1.5) }
    }

    fn chains(&self, device: &Device) -> Chains {
        let [b, t, k] = self.dims;
        let mut chain = Vec::new();
        for (row, (frames, scale)) in self.rows.iter().zip(&self.scales).enumerate() {
            chain.extend([frames.len() as u32, scale.to_bits()]);
            chain.extend(frames.iter().flat_map(|f| [(row * t + f.0) as u32, f.1 as u32]));
            chain.resize((row + 1) * (2 * t + 2), 0);
        }
        Chains {
            x: tensor(&self.x, self.dims, device),
            scores: tensor(&self.scores, [k + 2, k], device),
            chain: Tensor::from_u32(&chain, [b, 2 * t + 2], device).unwrap(),
        }
    }

    /// The emissions of a row's frames that count.
    fn emissions(&self, row: usize) -> Vec<f64> {
        let [_, t, k] = self.dims;
        let of = |f: &(usize, usize)| &self.x[(row * t + f.0) * k..][..k];
        self.rows[row].iter().flat_map(|f| widen(of(f))).collect()
    }

    fn path(&self, row: usize) -> Vec<usize> {
        self.rows[row].iter().map(|f| f.1).collect()
    }

    fn expected(&self) -> Expected {
        let [b, t, k] = self.dims;
        let scores = widen(&self.scores);
        let (d_x, q) = (vec![0.0; b * t * k], vec![0.0; b * t * k]);
        let mut all = Expected { d_x, q, d_scores: vec![0.0; (k + 2) * k], ..Expected::default() };
        for row in 0..b {
            if self.rows[row].is_empty() {
                all.losses.push(0.0);
                all.best.push(0.0);
                continue;
            }
            let (x, path, scale) =
                (self.emissions(row), self.path(row), f64::from(self.scales[row]));
            let of = Crf { x: &x, scores: &scores, k };
            all.losses.push(scale * of.loss(&path));
            all.best.push(of.best());
            let factor = scale * f64::from(D_LOSS);
            let [d_x, d_scores] = of.gradients(&path);
            let [q, _] = of.expected();
            for (i, (frame, _)) in self.rows[row].iter().enumerate() {
                for tag in 0..k {
                    let at = (row * t + frame) * k + tag;
                    all.d_x[at] = factor * d_x[i * k + tag];
                    all.q[at] = q[i * k + tag];
                }
            }
            all.d_scores.iter_mut().zip(&d_scores).for_each(|(sum, d)| *sum += factor * d);
        }
        all
    }

    /// Checks everything on a device.
    fn check(&self, what: &str, device: &Device, expected: &Expected) {
        let chains = self.chains(device);
        let (losses, logs) = chains.forward().unwrap();
        close_from(0.01, &format!("{what}: loss"), &losses, &expected.losses, 1e-5);
        let d_loss = tensor(&[D_LOSS], [1], device);
        let [d_x, d_scores] = chains.backward(&logs, &d_loss).unwrap();
        close_from(0.1, &format!("{what}: emissions"), &d_x, &expected.d_x, 1e-4);
        close_from(0.1, &format!("{what}: scores"), &d_scores, &expected.d_scores, 1e-4);
        close(&format!("{what}: marginals"), &chains.marginals(&logs).unwrap(), &expected.q, 1e-4);
        let (answers, best) = chains.viterbi().unwrap();
        close(&format!("{what}: best"), &best, &expected.best, 1e-5);
        self.check_answers(what, &answers.to_vec().unwrap(), expected);
    }

    /// Checks that the answers are a path of the best score, and say where it is right.
    fn check_answers(&self, what: &str, answers: &[f32], expected: &Expected) {
        let [_, t, k] = self.dims;
        let scores = widen(&self.scores);
        let mut left = answers.to_vec();
        for (row, frames) in self.rows.iter().enumerate() {
            let mut path = Vec::new();
            for &(frame, tag) in frames {
                let answer = &mut left[(row * t + frame) * WIDTH..][..WIDTH];
                path.push(answer[CLASS] as usize);
                let rank = f32::from(u8::from(path[path.len() - 1] != tag));
                assert_eq!(answer[RANK], rank, "{what}: frame {frame} of row {row}");
                answer.copy_from_slice(&[3e38, 0.0, -1.0]);
            }
            if !path.is_empty() {
                let x = self.emissions(row);
                let found = Crf { x: &x, scores: &scores, k }.score(&path);
                // Nearly as good ones may round to the same.
                let bound = 1e-5 * (1.0 + expected.best[row].abs());
                assert!((found - expected.best[row]).abs() < bound, "{what}: row {row}: {path:?}");
            }
        }
        // What does not count answers nothing.
        assert!(left.chunks(WIDTH).all(|answer| answer == [3e38, 0.0, -1.0]), "{what}");
    }
}

#[test]
fn chains_of_all_sizes() {
    let mut r = Random::new(411);
    let mut all = vec![
        [1, 1, 1],
        [5, 1, 3],
        [1, 7, 1],
        [5, 6, 2],
        [5, 9, 5],
        [1, 40, 17],
        [5, 33, 33],
        [3, 12, 64],
        [2, 5, 65],
        [2, 9, 130],
    ];
    if quick() {
        all.retain(|&[b, t, k]| b * t * k < 700);
    }
    for dims in all {
        let batch = Batch::new(&mut r, dims, 3.0);
        let expected = batch.expected();
        for (name, device) in devices() {
            batch.check(&format!("{dims:?}, {name}"), device, &expected);
        }
    }
}

/// Of thousands of frames no digits get lost: marginals are as exact as those of few.
#[test]
fn chains_of_thousands_of_frames() {
    let mut r = Random::new(412);
    let batch = Batch::new(&mut r, [2, if quick() { 600 } else { 3000 }, 4], 2.0);
    let expected = batch.expected();
    for (name, device) in devices() {
        batch.check(&format!("long, {name}"), device, &expected);
    }
}

#[test]
fn gradients_of_each_row_and_rows_that_are_not_looked_at() {
    let mut r = Random::new(413);
    let dims = [3, 5, 4];
    let mut batch = Batch::new(&mut r, dims, 2.0);
    batch.rows[1].clear();
    batch.x[20..40].fill(f32::NAN);
    let each = [0.5, f32::NAN, -2.0];
    for row in [0, 2] {
        batch.scales[row] *= each[row] / D_LOSS;
    }
    let expected = batch.expected();
    for row in [0, 2] {
        batch.scales[row] *= D_LOSS / each[row];
    }
    for (name, device) in devices() {
        let chains = batch.chains(device);
        let (losses, logs) = chains.forward().unwrap();
        assert_eq!(losses.to_vec().unwrap()[1], 0.0, "{name}");
        let [d_x, d_scores] = chains.backward(&logs, &tensor(&each, [3], device)).unwrap();
        close(&format!("emissions, {name}"), &d_x, &expected.d_x, 1e-4);
        close(&format!("scores, {name}"), &d_scores, &expected.d_scores, 1e-4);
        assert_eq!(chains.viterbi().unwrap().1.to_vec().unwrap()[1], 0.0, "{name}");
    }
}

/// Logits far beyond what e^x holds, tags that are ruled out, and paths that no constraint leaves.
#[test]
fn large_and_impossible_numbers() {
    let mut r = Random::new(414);
    for size in [90.0, 3e4, 1e7] {
        let batch = Batch::new(&mut r, [3, 8, 5], size);
        let expected = batch.expected();
        for (name, device) in devices() {
            batch.check(&format!("±{size:e}, {name}"), device, &expected);
        }
    }
    for low in [f32::NEG_INFINITY, f32::MIN, NEVER] {
        let mut batch = Batch::new(&mut r, [3, 8, 5], 2.0);
        // A tag that no frame but its own ones may have, a step and a first tag.
        for t in 0..24 {
            if !batch.path(t / 8).contains(&4) && t % 3 == 0 {
                batch.x[t * 5 + 4] = low;
            }
        }
        let taken =
            |step: [usize; 2]| (0..3).any(|row| batch.path(row).windows(2).any(|s| s == step));
        let free = (0..25).map(|i| [i / 5, i % 5]).filter(|&step| !taken(step)).take(6);
        let free: Vec<_> = free.collect();
        for [from, to] in free {
            batch.scores[from * 5 + to] = low;
        }
        let mut exact = Batch { x: batch.x.clone(), scores: batch.scores.clone(), ..batch };
        for v in exact.x.iter_mut().chain(&mut exact.scores) {
            *v = if *v <= NEVER { f32::NEG_INFINITY } else { *v };
        }
        let expected = exact.expected();
        exact.scores.iter_mut().for_each(|v| *v = v.max(low));
        for (name, device) in devices() {
            exact.check(&format!("{low:e}, {name}"), device, &expected);
        }
    }
    // All steps are forbidden, so that every path breaks equally many: no number overflows.
    let mut batch = Batch::new(&mut r, [2, 6, 3], 2.0);
    batch.scores[..9].fill(NEVER);
    for (name, device) in devices() {
        let chains = batch.chains(device);
        let (losses, logs) = chains.forward().unwrap();
        assert!(losses.to_vec().unwrap().iter().all(|loss| loss.is_finite()), "{name}");
        let q = chains.marginals(&logs).unwrap().to_vec().unwrap();
        for (row, frames) in batch.rows.iter().enumerate() {
            for (t, _) in frames {
                let sum: f32 = q[(row * 6 + t) * 3..][..3].iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{name}: {q:?}");
            }
        }
        assert!(
            chains.viterbi().unwrap().1.to_vec().unwrap().iter().all(|s| s.is_finite()),
            "{name}"
        );
    }
}

#[test]
fn a_nan_stays_in_its_row() {
    let mut r = Random::new(415);
    let dims = [3, 6, 5];
    let clean = Batch::new(&mut r, dims, 2.0);
    for (name, device) in devices() {
        let chains = clean.chains(device);
        let (losses, logs) = chains.forward().unwrap();
        let losses = losses.to_vec().unwrap();
        let marginals = chains.marginals(&logs).unwrap().to_vec().unwrap();
        let answers = chains.viterbi().unwrap().0.to_vec().unwrap();
        for at in [0, 2, 3, 4] {
            for tag in [0, 3] {
                let what = format!("frame {at}, tag {tag}, {name}");
                let mut batch = Batch {
                    x: clean.x.clone(),
                    scores: clean.scores.clone(),
                    ..Batch::new(&mut Random::new(415), dims, 2.0)
                };
                batch.x[(6 + at) * 5 + tag] = f32::NAN;
                let counts = |frame: usize| batch.rows[1].iter().any(|f| f.0 == frame);
                assert!(counts(at), "{what}");
                let chains = batch.chains(device);
                let (found, logs) = chains.forward().unwrap();
                let found = found.to_vec().unwrap();
                assert!(
                    found[1].is_nan() && found[0] == losses[0] && found[2] == losses[2],
                    "{what}"
                );
                let d_loss = tensor(&[1.0], [1], device);
                let [d_x, d_scores] = chains.backward(&logs, &d_loss).unwrap();
                assert!(d_scores.to_vec().unwrap()[25..].iter().all(|d| d.is_nan()), "{what}");
                let q = chains.marginals(&logs).unwrap().to_vec().unwrap();
                for (place, d) in d_x.to_vec().unwrap().iter().enumerate() {
                    let nan = place / 30 == 1 && counts(place / 5 % 6);
                    assert_eq!((d.is_nan(), q[place].is_nan()), (nan, nan), "{what}: {place}");
                    assert!(nan || q[place] == marginals[place], "{what}: {place}");
                }
                let (found, scores) = chains.viterbi().unwrap();
                let (found, scores) = (found.to_vec().unwrap(), scores.to_vec().unwrap());
                assert!(scores[1].is_nan() && scores[0].is_finite(), "{what}");
                let (first, rest) = found.split_at(6 * WIDTH);
                let (second, third) = rest.split_at(6 * WIDTH);
                assert!(second.chunks(WIDTH).all(|a| a == [3e38, 0.0, -1.0]), "{what}");
                assert_eq!([first, third].concat(), [&answers[..18], &answers[36..]].concat());
            }
        }
        // In what steps gain it comes to all rows that take the step in some path.
        let mut batch = Batch::new(&mut Random::new(415), dims, 2.0);
        batch.scores[7] = f32::NAN;
        let chains = batch.chains(device);
        let (losses, logs) = chains.forward().unwrap();
        assert!(losses.to_vec().unwrap().iter().all(|loss| loss.is_nan()), "{name}");
        let q = chains.marginals(&logs).unwrap().to_vec().unwrap();
        let first = (0..3).map(|row| batch.rows[row][0].0);
        first.enumerate().for_each(|(row, t)| assert!(q[(row * 6 + t) * 5].is_nan(), "{name}"));
        assert!(chains.viterbi().unwrap().1.to_vec().unwrap().iter().all(|s| s.is_nan()), "{name}");
    }
}

#[test]
fn ties_go_to_the_lowest_tag_and_bits_are_the_same() {
    let mut r = Random::new(416);
    let batch = Batch::new(&mut r, [5, 33, 17], 2.0);
    let flat =
        Batch { x: vec![0.5; 60], scores: vec![0.25; 24], ..Batch::new(&mut r, [3, 5, 4], 1.0) };
    for (name, device) in devices() {
        let run = || {
            let chains = batch.chains(device);
            let (losses, logs) = chains.forward().unwrap();
            let [d_x, d_scores] = chains.backward(&logs, &tensor(&[D_LOSS], [1], device)).unwrap();
            let (answers, scores) = chains.viterbi().unwrap();
            let all = [losses, logs, d_x, d_scores, answers, scores];
            all.map(|tensor| tensor.to_vec().unwrap()).concat()
        };
        let first = run();
        for _ in 0..2 {
            assert_same_bits(name, &run(), &first);
        }
        let answers = flat.chains(device).viterbi().unwrap().0.to_vec().unwrap();
        assert!(answers.chunks(WIDTH).all(|answer| answer[CLASS] <= 0.0), "{name}: {answers:?}");
        close_values(
            name,
            &[flat.chains(device).viterbi().unwrap().1.to_vec().unwrap()[0]],
            &[5.0 * 0.5 + 6.0 * 0.25],
            1e-6,
        );
    }
}
