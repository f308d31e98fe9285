//! The LSTM op with weights and gates of 16 bits: every strategy against the oracle.

use super::lstm::{Case, Options};
use super::{
    close_values, devices, forced, gpu, has_f16, inner, lacks, lacks_f16, patience, tensor,
};
use crate::device::overrides::Forced;
use crate::nn::{Dense, Params, Precision};
use crate::ops::lstm;
use crate::ops::lstm::cell::Cell;
use crate::ops::lstm::select::self_check;
use crate::{Device, GpuOptions, Strategy, Tape, Var};

/// Those of [`devices`] that have 16-bit floats: none of those in WebGPU's limits.
#[track_caller]
fn able() -> Vec<&'static (String, Device)> {
    let able = devices().iter().filter(|(_, device)| device.is_gpu() && has_f16(device));
    let able: Vec<_> = able.collect();
    lacks("f16", !able.is_empty());
    able
}

fn check(case: &Case, saves: &[bool]) {
    let answer = case.answer();
    for (name, device) in able() {
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            case.check_passes(saves, name, device, strategy, &answer);
        }
    }
}

#[test]
fn gates_of_16_bits_at_odd_sizes() {
    for hidden_size in [1, 7, 131] {
        for (seed, [b, t, i], options) in [
            (0, [1, 1, 1], Options::NONE),
            (1, [3, 17, 5], Options::ALL),
            (2, [33, 2, 64], Options::NONE),
        ] {
            check(&Case::new(seed, [b, t, i, hidden_size], options).with_half(), &[true]);
        }
    }
}

#[test]
fn gates_of_16_bits_with_every_option() {
    let none = Options::NONE;
    for (seed, reverse, options) in [
        (1, false, Options { lengths: true, recompute: true, ..none }),
        (3, false, Options { lengths: true, state: true, d_state: true, ..none }),
        (4, true, Options { sequences: true, recompute: true, d_state: true, ..none }),
        (6, true, Options { state: true, sequences: true, ..none }),
    ] {
        let mut case = Case::new(seed, [33, 6, 3, 21], options).with_half();
        case.layer.reverse = reverse;
        check(&case, &[false, true]);
    }
    let cell = Cell { peepholes: true, recurrent_dropout: 0.3, ..Cell::default() };
    check(&Case::new(8, [9, 5, 2, 13], Options::ALL).with_half().with_cell(cell, 3), &[true]);
}

#[test]
fn gates_of_16_bits_by_workgroups_that_exchange() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    if lacks_f16(&device) {
        return;
    }
    for (workgroups, keep) in [(1, None), (2, None), (2, Some([2, 3])), (2, Some([2, usize::MAX]))]
    {
        let polls = Some(1 << 20);
        let workgroups = Some(workgroups);
        forced(&device, Forced { workgroups, keep, polls, ..Forced::default() });
        for hidden_size in [13, 66] {
            let case = Case::new(5, [5, 6, 3, hidden_size], Options::ALL).with_half();
            let what = format!("{workgroups:?} workgroups, keep {keep:?}");
            case.check_passes(&[true], &what, &device, Strategy::Persistent, &case.answer());
        }
    }
}

/// The checks that a device is put to before it is given numbers of 16 bits.
#[test]
fn the_trials_of_16_bits_pass_where_the_adapter_has_them() {
    let device = gpu(GpuOptions::default());
    let gpu = inner(&device);
    assert_eq!(lstm::has_half(gpu), gpu.has_f16());
    if lacks_f16(&device) {
        return;
    }
    forced(&device, Forced { polls: patience(&device), ..Forced::default() });
    // The one compares 16 bits with 32, the other two schedules of 16.
    for (path, rounds) in [(&self_check::HALF, true), (&self_check::PERSISTENT[1], false)] {
        let compared = (path.check)(gpu).unwrap();
        let plain: Vec<f64> = compared.plain.iter().map(|&v| v.into()).collect();
        let what = format!("{} on {device}", path.name);
        close_values(&what, &compared.fast, &plain, compared.bound.into());
        if rounds {
            assert!(compared.fast != compared.plain, "{what}: 16 bits were not used");
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
    params.change(|| arena.value.fill(1.0)).unwrap();
    assert_eq!(y(), [7.0, 7.0]);
}
