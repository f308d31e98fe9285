//! The LSTM op, forward and backward: every strategy on every device against the oracle.

use super::oracle::{self, Random, widen};
use super::{close, devices, gpu, tensor};
use crate::ops::lstm::{self, Arriving, Forward, Output, Wanted, Weights};
use crate::{Device, GpuOptions, Lengths, Strategy, Tensor};

/// A layer with its arguments and the gradients that arrive.
struct Case {
    layer: oracle::lstm::Lstm,
    x: Vec<f32>,
    weight_ih: Vec<f32>,
    weight_hh: Vec<f32>,
    bias: Vec<f32>,
    h_0: Vec<f32>,
    c_0: Vec<f32>,
    with_state: bool,
    sequences: bool,
    d_y: Vec<f32>,
    d_h: Vec<f32>,
    d_c: Vec<f32>,
}

impl Case {
    /// `options` switches lengths, state and sequences by its bits.
    fn new(seed: u64, [b, t, i, h]: [usize; 4], options: usize) -> Self {
        let mut r = Random::new(seed);
        let size = 1.0 / (h as f32).sqrt();
        let (weight_ih, weight_hh) =
            (r.uniform(4 * h * i, -size, size), r.uniform(4 * h * h, -size, size));
        let bias = r.uniform(4 * h, -0.5, 0.5);
        let (with_state, sequences) = (options & 2 != 0, options & 4 != 0);
        let mut state = |wanted: bool| match wanted {
            true => r.uniform(b * h, -1.0, 1.0),
            false => vec![0.0; b * h],
        };
        let (h_0, c_0, d_h, d_c) = (state(with_state), state(with_state), state(true), state(true));
        let d_y = if sequences { r.uniform(b * t * h, -1.0, 1.0) } else { vec![0.0; b * t * h] };
        let lengths = (options & 1 != 0).then(|| (0..b).map(|_| 1 + r.below(t)).collect());
        Self {
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
            },
            weight_ih,
            weight_hh,
            bias,
            h_0,
            c_0,
            with_state,
            sequences,
            d_y,
            d_h,
            d_c,
        }
    }

    /// Padding is NaN: nobody may look at it.
    fn poisoned_x(&self) -> Vec<f32> {
        let mut x = self.x.clone();
        let oracle::lstm::Lstm { timesteps, input_size, .. } = self.layer;
        for (row, &length) in self.layer.lengths.iter().flatten().enumerate() {
            let row = row * timesteps * input_size;
            x[row + length * input_size..row + timesteps * input_size].fill(f32::NAN);
        }
        x
    }

    fn weights(&self, device: &Device) -> Weights {
        let (i, h) = (self.layer.input_size, self.layer.hidden_size);
        Weights {
            weight_ih: tensor(&interleave(&self.weight_ih, i, h), [i, h, 4], device),
            weight_hh: tensor(&interleave(&self.weight_hh, h, h), [h, h, 4], device),
            bias: tensor(&interleave(&self.bias, 1, h), [h, 4], device),
        }
    }

    fn forward(&self, device: &Device, strategy: Strategy, save: bool) -> Output {
        let oracle::lstm::Lstm { batch, timesteps, input_size, hidden_size, .. } = self.layer;
        let x = tensor(&self.poisoned_x(), [batch, timesteps, input_size], device);
        let lengths = self.layer.lengths.as_ref().map(|l| Lengths::new(l, device).unwrap());
        let h_0 = tensor(&self.h_0, [batch, hidden_size], device);
        let c_0 = tensor(&self.c_0, [batch, hidden_size], device);
        lstm::forward(&Forward {
            x: &x,
            weights: &self.weights(device),
            lengths: lengths.as_ref(),
            state: self.with_state.then_some((&h_0, &c_0)),
            sequences: self.sequences,
            save,
            strategy,
        })
        .unwrap()
    }

    /// Both passes against the oracle.
    fn check(&self, what: &str, device: &Device, strategy: Strategy, answer: &Answer) {
        self.check_passes(&[false, true], what, device, strategy, answer);
    }

    fn check_passes(
        &self,
        saves: &[bool],
        what: &str,
        device: &Device,
        strategy: Strategy,
        answer: &Answer,
    ) {
        let oracle::lstm::Lstm { batch, timesteps, input_size, hidden_size, .. } = self.layer;
        for &save in saves {
            let output = self.forward(device, strategy, save);
            state_close(&format!("h_n of {what}"), &output.h_n, &answer.out.h_n);
            state_close(&format!("c_n of {what}"), &output.c_n, &answer.out.c_n);
            assert_eq!(output.y.is_some(), self.sequences);
            if let Some(y) = &output.y {
                state_close(&format!("y of {what}"), y, &answer.out.y);
            }
            let Some(saved) = output.saved else { continue };
            let d_y = tensor(&self.d_y, [batch, timesteps, hidden_size], device);
            let d_h = tensor(&self.d_h, [batch, hidden_size], device);
            let d_c = tensor(&self.d_c, [batch, hidden_size], device);
            // Gradients are added to what is there.
            let mut start = Random::new(9);
            let mut begin = |n: usize| start.uniform(n, -0.5, 0.5);
            let (before_ih, before_hh, before_b) = (
                begin(4 * hidden_size * input_size),
                begin(4 * hidden_size * hidden_size),
                begin(4 * hidden_size),
            );
            let gradients = Weights {
                weight_ih: tensor(&before_ih, [before_ih.len()], device),
                weight_hh: tensor(&before_hh, [before_hh.len()], device),
                bias: tensor(&before_b, [before_b.len()], device),
            };
            let arriving = Arriving {
                d_y: self.sequences.then_some(&d_y),
                d_h_n: Some(&d_h),
                d_c_n: Some(&d_c),
            };
            let wanted = Wanted { d_x: true, d_state: true };
            let leaving = lstm::backward(saved, arriving, &gradients, wanted).unwrap();
            let d = &answer.gradients;
            close(&format!("d_x of {what}"), &leaving.d_x.unwrap(), &d.d_x, 1e-4);
            let (d_h_0, d_c_0) = leaving.d_state.unwrap();
            close(&format!("d_h_0 of {what}"), &d_h_0, &d.d_h_0, 1e-4);
            close(&format!("d_c_0 of {what}"), &d_c_0, &d.d_c_0, 1e-4);
            for (name, found, before, expected, rows) in [
                ("d_weight_ih", gradients.weight_ih, before_ih, &d.d_weight_ih, input_size),
                ("d_weight_hh", gradients.weight_hh, before_hh, &d.d_weight_hh, hidden_size),
                ("d_bias", gradients.bias, before_b, &d.d_bias, 1),
            ] {
                let expected: Vec<f64> = interleave(expected, rows, hidden_size)
                    .iter()
                    .zip(before)
                    .map(|(e, b)| e + f64::from(b))
                    .collect();
                close(&format!("{name} of {what}"), &found, &expected, 1e-4);
            }
        }
    }

    fn answer(&self) -> Answer {
        let (x, h_0, c_0) = (widen(&self.x), widen(&self.h_0), widen(&self.c_0));
        let out = self.layer.forward(&x, &h_0, &c_0);
        let (d_y, d_h, d_c) = (widen(&self.d_y), widen(&self.d_h), widen(&self.d_c));
        let gradients = self.layer.backward(&x, &out, &d_y, &d_h, &d_c);
        Answer { out, gradients }
    }
}

struct Answer {
    out: oracle::lstm::Outputs,
    gradients: oracle::lstm::Gradients,
}

/// A state is a sum of terms of about 1, which may cancel: where it has one number or two, all
/// of them may be small.
#[track_caller]
fn state_close(what: &str, found: &Tensor, expected: &[f64]) {
    let error = oracle::relative_error_from(0.1, &found.to_vec().unwrap(), expected);
    assert!(error <= 1e-5, "{what}: relative error {error:e}, at most 1e-5");
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

fn check_everywhere(case: &Case, saves: &[bool], what: &str) {
    let answer = case.answer();
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let what = format!("{what}, {strategy:?} on {name}");
            case.check_passes(saves, &what, device, strategy, &answer);
        }
    }
}

/// The sizes at which every kernel meets its edges, with all options and with none, in training.
/// What else there is comes in the next test, at one size: a software adapter takes seconds to
/// compile a kernel, and each of these makes kernels anew.
fn grid(hidden_size: usize) {
    let mut n = hidden_size;
    for b in [1, 3, 33] {
        for t in [1, 2, 17] {
            for i in [1, 5, 64] {
                let options = if n.is_multiple_of(2) { 7 } else { 0 };
                let case = Case::new(n as u64, [b, t, i, hidden_size], options);
                let what = format!("B{b} T{t} I{i} H{hidden_size}, options {options}");
                check_everywhere(&case, &[true], &what);
                n += 1;
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
    for options in 0..8 {
        let case = Case::new(options as u64, [33, 6, 3, 13], options);
        check_everywhere(&case, &[false, true], &format!("options {options}"));
        let case = Case::new(options as u64, [9, 5, 2, 13], options);
        check_everywhere(&case, &[true], &format!("options {options}, eight rows"));
    }
}

/// A hidden size that no workgroup holds: `Auto` goes by steps, `Sequence` is refused.
#[test]
fn a_hidden_size_past_a_workgroup() {
    let case = Case::new(1, [2, 3, 2, 300], 7);
    let answer = case.answer();
    let device = gpu(GpuOptions::default().poison().portable());
    case.check("H300", &device, Strategy::Auto, &answer);
    let x = tensor(&case.x, [2, 3, 2], &device);
    let refused = lstm::forward(&Forward {
        x: &x,
        weights: &case.weights(&device),
        lengths: None,
        state: None,
        sequences: false,
        save: false,
        strategy: Strategy::Sequence,
    });
    assert!(matches!(refused, Err(crate::Error::Strategy { hidden_size: 300, .. })));
}

/// The gates of this batch are 166 MB: more than WebGPU binds at once.
#[test]
fn a_batch_larger_than_one_binding() {
    let sizes @ [b, t, _, h] = [81, 1000, 1, 128];
    let mut case = Case::new(1, sizes, 5);
    let lengths: Vec<usize> = (0..b).map(|row| if row % 9 == 0 { t } else { 3 }).collect();
    case.layer.lengths = Some(lengths);
    let device = gpu(GpuOptions::default().portable());
    assert!(b * t * h * 16 > 128 << 20);
    let answer = case.answer();
    case.check("a large batch", &device, Strategy::Auto, &answer);
}

/// Chunks as they come with tiny bindings: rows, and timesteps of one row.
#[test]
fn chunks_of_rows_and_of_timesteps() {
    for limit in [4 * 5 * 16 * 2, 4 * 5 * 4 + 8] {
        for options in 0..8 {
            let case = Case::new(options as u64, [3, 9, 2, 5], options);
            let answer = case.answer();
            let device = gpu(GpuOptions::default().poison().chunk_words(limit));
            for strategy in [Strategy::Sequence, Strategy::Stepwise] {
                let what = format!("chunks of {limit}, {strategy:?}, options {options}");
                case.check(&what, &device, strategy, &answer);
            }
        }
    }
}

#[test]
fn nan_in_the_input_reaches_its_row_alone() {
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let mut case = Case::new(1, [5, 4, 3, 8], 4);
            case.x[4 * 3 * 2] = f32::NAN;
            let h_n = case.forward(device, strategy, true).h_n.to_vec().unwrap();
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
            let mut case = Case::new(1, [2, 3, 3, 8], 4);
            case.x.iter_mut().for_each(|x| *x *= 1e30);
            let output = case.forward(device, strategy, false);
            let h_n = output.h_n.to_vec().unwrap();
            assert!(h_n.iter().all(|v| v.abs() <= 1.0), "{strategy:?} on {name}: {h_n:?}");
        }
    }
}

#[test]
fn the_same_bits_every_time() {
    let case = Case::new(1, [33, 9, 5, 64], 7);
    for (name, device) in devices() {
        for &strategy in strategies(device) {
            let run = || -> Vec<Tensor> {
                let output = case.forward(device, strategy, true);
                let gradients = case.weights(device);
                let wanted = Wanted { d_x: true, d_state: true };
                let d_h = tensor(&case.d_h, [33, 64], device);
                let arriving = Arriving { d_y: None, d_h_n: Some(&d_h), d_c_n: None };
                let leaving =
                    lstm::backward(output.saved.unwrap(), arriving, &gradients, wanted).unwrap();
                let Weights { weight_ih, weight_hh, bias } = gradients;
                vec![output.h_n, leaving.d_x.unwrap(), weight_ih, weight_hh, bias]
            };
            let bits = |tensors: Vec<Tensor>| -> Vec<Vec<f32>> {
                tensors.iter().map(|t| t.to_vec().unwrap()).collect()
            };
            assert!(bits(run()) == bits(run()), "{strategy:?} on {name}");
        }
    }
}
