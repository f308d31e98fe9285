//! `lstm_persistent_fused`: with the bits that a product before the pass gives, which a pass that keeps its gates has.

use super::lstm::{Case, Options};
use super::{assert_same_bits, close_values, forced, gpu, tensor};
use crate::device::overrides::Forced;
use crate::nn::{Lstm, Merge, Params};
use crate::ops::lstm::gpu::schedule::Schedule;
use crate::ops::lstm::gpu::task::{Phase, Task};
use crate::ops::lstm::select::{self, self_check};
use crate::{Device, GpuOptions, Lengths, Strategy, Tape};

/// Teams of two workgroups, whatever the adapter is like.
const TWO: Forced = Forced { workgroups: Some(2), polls: Some(1 << 16), ..Forced::NONE };

fn device() -> Device {
    let device = gpu(GpuOptions::default().poison().threads(2).like_hardware());
    forced(&device, TWO);
    device
}

fn bits(case: &Case, device: &Device, save: bool) -> Vec<f32> {
    let (output, y) = case.forward(device, Strategy::Persistent, save);
    [output.h_n, output.c_n, y].iter().flat_map(|t| t.to_vec().unwrap()).collect()
}

/// Whether a pass over a case makes the input's part itself.
#[track_caller]
fn assert_fused(case: &Case, device: &Device) {
    let (phase, variant, half, save, fused, lanes) = (Phase::Forward, false, false, false, true, 1);
    let (ragged, layer) = (case.layer.lengths.is_some(), &case.layer);
    let (batch, timesteps, hidden_size) = (layer.batch, layer.timesteps, layer.hidden_size);
    let task =
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps, hidden_size };
    let gpu = forced(device, TWO);
    let Schedule::Persistent(team) = select::schedule(&gpu, Strategy::Persistent, task).unwrap()
    else {
        panic!("no team for {case}");
    };
    assert!(team.fused, "{case}: {team:?}");
}

/// Blocks of steps that are whole, cut off and one alone; tiles of one, two and four rows, of one team and two;
/// inputs of whole fours, of others, and of one value.
#[test]
fn fused_sums_have_the_bits_of_a_product() {
    let device = device();
    let plain = Options { state: true, ..Options::SEQUENCES };
    for (number, (sizes, options)) in [
        ([1, 40, 3, 9], plain),
        ([2, 17, 1, 33], Options::SEQUENCES),
        ([7, 12, 13, 20], Options { lengths: true, ..plain }),
        ([3, 33, 64, 5], Options { lengths: true, ..plain }),
        ([5, 9, 8, 70], Options::NONE),
    ]
    .into_iter()
    .enumerate()
    {
        let mut case = Case::new(number as u64, sizes, options);
        for reverse in [false, true] {
            case.layer.reverse = reverse;
            assert_fused(&case, &device);
            let found = bits(&case, &device, false);
            // On a busy machine workgroups wait in vain, and hardware then goes another way.
            forced(&device, TWO);
            assert_same_bits(format!("{case}"), &found, &bits(&case, &device, true));
        }
        case.check_passes(&[false], "fused", &device, Strategy::Persistent, &case.answer());
    }
}

/// Chunks of whole rows, and of 12 steps of one.
#[test]
fn fused_chunks_begin_where_they_do() {
    let options = GpuOptions::default().poison().threads(2).like_hardware();
    let device = gpu(options.chunk_words(12 * 4 * 5));
    forced(&device, TWO);
    for (sizes, lengths) in [([3, 9, 4, 5], false), ([3, 10, 3, 5], true), ([2, 24, 6, 5], false)] {
        let mut case = Case::new(11, sizes, Options { lengths, ..Options::SEQUENCES });
        for reverse in [false, true] {
            case.layer.reverse = reverse;
            assert_fused(&case, &device);
            let found = bits(&case, &device, false);
            if !lengths {
                forced(&device, TWO);
                assert_same_bits(format!("{case}"), &found, &bits(&case, &device, true));
            }
            let answer = case.answer();
            case.check_passes(&[false], "chunks", &device, Strategy::Persistent, &answer);
        }
    }
}

#[test]
fn a_fused_pass_that_fails_changes_nothing() {
    let device = device();
    let case =
        Case::new(7, [7, 4, 5, 9], Options { lengths: true, state: true, ..Options::SEQUENCES });
    assert_fused(&case, &device);
    let expected = bits(&case, &device, true);
    for window in [None, Some(3)] {
        for fault in 0..2 + 2 * 4 {
            // Who sleeps makes the others lose their patience; whoever gives up tells them.
            let polls = Some(if fault % 2 == 1 { 1 << 10 } else { 1 << 20 });
            let gpu = forced(&device, Forced { window, fault, polls, ..TWO });
            let what = format!("window {window:?}, fault {fault} on {device}");
            assert_same_bits(&what, &bits(&case, &device, false), &expected);
            assert!(fault == 0 || fault % 2 == 1 || gpu.coresident.timed_out(), "{what}");
        }
    }
}

/// Both directions, with a bias and without one, of weights that lie where a model has them.
#[test]
fn a_fused_layer_is_three_dispatches() {
    // Not poisoned, which is a dispatch for each buffer.
    let device = gpu(GpuOptions::default().threads(2).like_hardware());
    let sizes @ [b, t, i] = [3, 21, 6];
    let values: Vec<f32> = (0..b * t * i).map(|k| (k as f32 * 0.73).sin()).collect();
    for (bias, ragged) in [(true, false), (false, true), (true, true)] {
        let params = Params::seeded(&device, 5);
        let mut lstm = Lstm::new(11).return_sequences().bidirectional(Merge::Concat);
        lstm = lstm.strategy(Strategy::Persistent);
        if !bias {
            lstm = lstm.no_bias();
        }
        let lstm = lstm.build(&params, i).unwrap();
        let run = |tape: &Tape| {
            forced(&device, TWO);
            let mut x = tape.input(tensor(&values, sizes, &device));
            if ragged {
                x = x.with_lengths(Some(Lengths::new(&[t, 9, 14], &device).unwrap()));
            }
            let before = device.counters().dispatches;
            let y = lstm.forward(tape, &x).unwrap();
            let dispatches = device.counters().dispatches - before;
            (y.tensor().to_vec().unwrap(), dispatches)
        };
        let (expected, _) = run(&Tape::new(&params));
        let (found, dispatches) = run(&Tape::inference(&params));
        let what = format!("bias {bias}, ragged {ragged} on {device}");
        assert_same_bits(&what, &found, &expected);
        // A clearing, the pass, its recovery. Rows of different lengths are packed before, and padded after.
        assert!(ragged || dispatches == 3, "{dispatches} of {what}");
    }
}

#[test]
fn the_trial_of_the_fused_kernel_passes() {
    let device = device();
    let gpu = forced(&device, TWO);
    let compared = (self_check::FUSED.check)(&gpu).unwrap();
    if gpu.coresident.timed_out() {
        return assert!(compared.fast.is_empty(), "workgroups that waited in vain pass no trial");
    }
    let plain: Vec<f64> = compared.plain.iter().map(|&v| v.into()).collect();
    close_values(&format!("the trial on {device}"), &compared.fast, &plain, compared.bound.into());
}
