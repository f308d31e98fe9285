//! The LSTM op, forward and backward: every strategy on every device against the oracle.

mod answer;
mod case;
mod options;

pub(super) use answer::exact_cell;
pub(super) use case::Case;
pub(super) use options::Options;

use super::{devices, gpu, inner, lacks, lacks_f16, quick, tensor};
use crate::device::overrides::Forced;
use crate::ops::lstm::{self, CellConfig, Forward};
use crate::{Device, GpuOptions, Strategy, Tensor};

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
                // In the short form each of them once.
                if !quick() || matches!([b, t, i], [1, 1, 1] | [3, 2, 5] | [33, 17, 64]) {
                    check_everywhere(&Case::new(seed, [b, t, i, hidden_size], options), &[true]);
                }
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
    let all = if quick() { Options::some().into() } else { Options::every().collect::<Vec<_>>() };
    for (seed, options) in (0..).zip(all) {
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
        lengths: None,
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
