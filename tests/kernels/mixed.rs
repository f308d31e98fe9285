//! The LSTM op with weights and gates of 16 bits: every strategy against the oracle.

use super::lstm::Case;
use super::{devices, gpu, has_f16, tensor};
use crate::device::resident::Forced;
use crate::nn::{Dense, Params, Precision};
use crate::ops::fill::fill;
use crate::ops::lstm::cell::Cell;
use crate::ops::lstm::{self, select::self_check};
use crate::{Device, GpuOptions, Strategy, Tape, Var};

/// Those of [`devices`] that have 16-bit floats.
fn able() -> impl Iterator<Item = &'static (String, Device)> {
    devices().iter().filter(|(_, device)| device.is_gpu() && has_f16(device))
}

fn check(case: &Case, saves: &[bool], what: &str) {
    let answer = case.answer();
    for (name, device) in able() {
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            let what = format!("{what}, {strategy:?} on {name}");
            case.check_passes(saves, &what, device, strategy, &answer);
        }
    }
}

#[test]
fn gates_of_16_bits_at_odd_sizes() {
    for hidden_size in [1, 7, 131] {
        for (n, (b, t, i)) in [(1, 1, 1), (3, 17, 5), (33, 2, 64)].into_iter().enumerate() {
            // Some with all options, some with none.
            let case = Case::new(n as u64, [b, t, i, hidden_size], 7 * (n % 2)).with_half();
            check(&case, &[true], &format!("B{b} T{t} I{i} H{hidden_size}"));
        }
    }
}

#[test]
fn gates_of_16_bits_with_every_option() {
    for options in [1, 3, 4, 6] {
        let mut case = Case::new(options as u64, [33, 6, 3, 21], options).with_half();
        case.layer.reverse = options > 3;
        check(&case, &[false, true], &format!("options {options}"));
    }
    let cell = Cell { peepholes: true, recurrent_dropout: 0.3, ..Cell::default() };
    let case = Case::new(8, [9, 5, 2, 13], 7).with_half().with_cell(cell, 3);
    check(&case, &[true], "a cell with peepholes");
}

#[test]
fn gates_of_16_bits_by_workgroups_that_exchange() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    if !has_f16(&device) {
        return;
    }
    let crate::device::Backend::Gpu(gpu) = &device.0 else { panic!("a CPU") };
    for (workgroups, keep) in [(1, None), (2, None), (2, Some([2, 3])), (2, Some([2, usize::MAX]))]
    {
        let polls = Some(1 << 20);
        let forced = Forced { workgroups: Some(workgroups), keep, polls, ..Forced::default() };
        gpu.force(forced).unwrap();
        for hidden_size in [13, 66] {
            let case = Case::new(5, [5, 6, 3, hidden_size], 7).with_half();
            let what = format!("H{hidden_size}, {workgroups} workgroups, {keep:?}");
            case.check_passes(&[true], &what, &device, Strategy::Persistent, &case.answer());
        }
    }
}

/// The checks that a device is put to before it is given numbers of 16 bits.
#[test]
fn the_trials_of_16_bits_pass_where_the_adapter_has_them() {
    let device = gpu(GpuOptions::default());
    let crate::device::Backend::Gpu(gpu) = &device.0 else { panic!("a CPU") };
    assert_eq!(lstm::has_half(gpu), gpu.has_f16());
    let forced = Forced { polls: Some(1 << 24), ..Forced::default() };
    gpu.force(forced).unwrap();
    if gpu.has_f16() {
        for special in [&self_check::HALF, &self_check::PERSISTENT[1]] {
            let compared = (special.check)(gpu).unwrap();
            let plain: Vec<f64> = compared.plain.iter().map(|&v| v.into()).collect();
            let error = super::oracle::relative_error(&compared.special, &plain);
            assert!(error <= f64::from(compared.bound), "{}: {error:e}", special.name);
            assert!(error > 0.0 || special.name != self_check::HALF.name, "16 bits were not used");
        }
    }
}

/// What another thread copies while an optimizer is at work is not taken for what it wrote.
#[test]
fn a_change_of_the_parameters_leaves_no_stale_copies() {
    let device = gpu(GpuOptions::default());
    let params = Params::new(&device);
    params.set_precision(Precision::Mixed);
    let dense = Dense::new(2).build(&params, 3).unwrap();
    let x = Var::from(tensor(&[1.0, 2.0, 3.0], [1, 3], &device));
    let y = || dense.forward(&Tape::inference(&params), &x).unwrap().tensor().to_vec().unwrap();
    let arena = params.arena().unwrap();
    assert_ne!(y(), [7.0, 7.0]);
    params.change(|| fill(&arena.value, 1.0)).unwrap();
    assert_eq!(y(), [7.0, 7.0]);
}
