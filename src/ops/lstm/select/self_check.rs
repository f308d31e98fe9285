//! Whether a schedule that rests on more than every API promises is right on a device: one small
//! layer by it and by the plain one, compared.

use super::{Rows, Schedule, Strategy, Task, schedule};
use crate::device::Backend;
use crate::device::fast_path::{Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::Kernel;
use crate::ops::elementwise::half::half;
use crate::ops::lstm::gpu::backward::backward_with;
use crate::ops::lstm::gpu::chunks;
use crate::ops::lstm::gpu::forward::forward_with;
use crate::ops::lstm::gpu::schedule::matrices::{self as by_units, TILES};
use crate::ops::lstm::gpu::schedule::{persistent, sequence, stepwise};
use crate::ops::lstm::{
    Backward, CellConfig, Columns, Forward, GradRequest, Output, OutputGrads, Sizes, Weights,
};
use crate::{Device, Result, Tensor};
use ::half::f16;
use std::sync::Arc;

/// The kernels of some tiles, and what they are compared with.
macro_rules! of_tiles {
    ($tiles:ident, $lanes:literal) => {
        [
            &by_units::$tiles[$lanes][0],
            &by_units::$tiles[$lanes][1],
            &stepwise::FORWARD[1],
            &stepwise::BACKWARD[1],
        ]
    };
}

/// `Strategy::Persistent` against `Strategy::Stepwise`, with gates of 32 bits and of 16. A device where
/// workgroups wait in vain fails, unless it is a software adapter, which then goes on without waiting.
pub(crate) static PERSISTENT: [FastPath; 2] = [
    FastPath {
        name: "lstm_persistent",
        kernels: &[&persistent::FORWARD[0], &persistent::BACKWARD[0]],
        // Sums of hundreds of terms, taken in another order.
        check: |gpu| workgroups(gpu, false, 1e-4),
    },
    FastPath {
        name: "lstm_persistent_f16",
        kernels: &[&persistent::FORWARD[1], &persistent::BACKWARD[1]],
        check: |gpu| workgroups(gpu, true, ROUNDED),
    },
];

/// The same where the workgroups make the input's part of the gates, too: one row, whose team has one tile.
pub(crate) static FUSED: FastPath = FastPath {
    name: "lstm_persistent_fused",
    kernels: &[&persistent::FUSED],
    check: |gpu| {
        let run = |strategy, fused| {
            run(gpu, [1, 12, 7, 157], false, false, &|task| {
                schedule(gpu, strategy, Task { fused, ..task })
            })
        };
        let plain = run(Strategy::Stepwise, false)?;
        let fast = run(Strategy::Persistent, true)?;
        let (fast, plain) = (read(&fast)?, read(&plain)?);
        let in_vain = gpu.coresident.timed_out() && !gpu.info.software;
        Ok(Comparison { fast: if in_vain { vec![] } else { fast }, plain, bound: 1e-4 })
    },
};

/// `Strategy::Sequence` and `Strategy::Stepwise` with numbers of 16 bits against those of 32.
pub(crate) static HALF: FastPath = FastPath {
    name: "lstm_f16",
    kernels: &[
        &sequence::FORWARD[1],
        &sequence::BACKWARD[1],
        &stepwise::FORWARD[1],
        &stepwise::BACKWARD[1],
    ],
    check: |gpu| {
        let (mut fast, mut plain) = (Vec::new(), Vec::new());
        // All is recorded before anything is read, here and below: kernels are compiled together.
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            let run =
                |half| run(gpu, [5, 6, 3, 70], true, half, &|task| schedule(gpu, strategy, task));
            fast.extend(run(true)?);
            plain.extend(run(false)?);
        }
        Ok(Comparison { fast: read(&fast)?, plain: read(&plain)?, bound: ROUNDED })
    },
};

/// `Strategy::Stepwise` by matrix units, of each kind of tiles, against the plain kernels.
pub(crate) static MATRICES: [FastPath; 6] = [
    matrices("lstm_matrices_16", &of_tiles!(ROWS_16, 0), |gpu| by_matrices(gpu, 0)),
    matrices("lstm_matrices_16_wave64", &of_tiles!(ROWS_16, 1), |gpu| by_matrices(gpu, 1)),
    matrices("lstm_matrices_32", &of_tiles!(ROWS_32, 0), |gpu| by_matrices(gpu, 2)),
    matrices("lstm_matrices_32_wave64", &of_tiles!(ROWS_32, 1), |gpu| by_matrices(gpu, 3)),
    matrices("lstm_matrices_64", &of_tiles!(ROWS_64, 0), |gpu| by_matrices(gpu, 4)),
    matrices("lstm_matrices_64_wave64", &of_tiles!(ROWS_64, 1), |gpu| by_matrices(gpu, 5)),
];

const fn matrices(
    name: &'static str,
    kernels: &'static [&'static Kernel],
    check: fn(&Arc<Gpu>) -> Result<Comparison>,
) -> FastPath {
    FastPath { name, kernels, check }
}

fn by_matrices(gpu: &Arc<Gpu>, tiles: usize) -> Result<Comparison> {
    // More rows than a tile of the largest has, and units of no multiple of anything.
    let run = |schedule| run(gpu, [70, 4, 3, 157], true, true, &|_| Ok(schedule));
    let (fast, plain) = (run(Schedule::Matrices(TILES[tiles]))?, run(Schedule::Stepwise)?);
    Ok(Comparison { fast: read(&fast)?, plain: read(&plain)?, bound: ROUNDED })
}

/// How far results may differ whose gates are rounded to 11 bits on the way.
const ROUNDED: f32 = 1e-2;

fn workgroups(gpu: &Arc<Gpu>, half: bool, bound: f32) -> Result<Comparison> {
    // So large that several workgroups share it, and not a multiple of anything.
    let run =
        |strategy| run(gpu, [5, 6, 3, 157], true, half, &|task| schedule(gpu, strategy, task));
    let plain = run(Strategy::Stepwise)?;
    let fast = run(Strategy::Persistent)?;
    let (fast, plain) = (read(&fast)?, read(&plain)?);
    let in_vain = gpu.coresident.timed_out() && !gpu.info.software;
    let fast = if in_vain { vec![] } else { fast };
    Ok(Comparison { fast, plain, bound })
}

/// The forward pass of `Strategy::Sequence` with subgroups and without, 16 rows a workgroup.
pub(crate) static SUBGROUP: FastPath = FastPath {
    name: "lstm_sequence_subgroup",
    kernels: &[&sequence::FORWARD_SUBGROUP, &sequence::FORWARD[0]],
    check: |gpu| subgroups(gpu, 16, false),
};

/// The backward pass of `Strategy::Sequence` with subgroups and without, 16 rows a workgroup.
pub(crate) static SUBGROUP_BWD: FastPath = FastPath {
    name: "lstm_sequence_bwd_subgroup",
    kernels: &[&sequence::BACKWARD_SUBGROUP, &sequence::BACKWARD[0]],
    check: |gpu| subgroups(gpu, 16, true),
};

/// The forward pass of `Strategy::Sequence` with subgroups and without, one row a workgroup.
pub(crate) static ROW: FastPath = FastPath {
    name: "lstm_sequence_subgroup_row",
    kernels: &[&sequence::FORWARD_ROW, &sequence::FORWARD[0]],
    check: |gpu| subgroups(gpu, 1, false),
};

/// The backward pass of `Strategy::Sequence` with subgroups and without, one row a workgroup.
pub(crate) static ROW_BWD: FastPath = FastPath {
    name: "lstm_sequence_bwd_subgroup_row",
    kernels: &[&sequence::BACKWARD_ROW, &sequence::BACKWARD[0]],
    check: |gpu| subgroups(gpu, 1, true),
};

fn subgroups(gpu: &Arc<Gpu>, rows: usize, backward: bool) -> Result<Comparison> {
    let run = |count, subgroups| {
        let schedule = Schedule::Sequence(Rows { count, subgroups });
        // Units of several subgroups, and a part of one.
        run(gpu, [rows + 2, 3, 5, 70], backward, false, &|_| Ok(schedule))
    };
    let (fast, plain) = (run(rows, true)?, run(4, false)?);
    Ok(Comparison { fast: read(&fast)?, plain: read(&plain)?, bound: 1e-5 })
}

/// The values of tensors, one after the other.
fn read(tensors: &[Tensor]) -> Result<Vec<f32>> {
    let values: Result<Vec<_>> = tensors.iter().map(Tensor::to_vec).collect();
    Ok(values?.concat())
}

/// Records outputs and states of one layer, and its gradients if they are wanted.
fn run(
    gpu: &Arc<Gpu>,
    [b, t, i, h]: [usize; 4],
    save: bool,
    in_half: bool,
    schedule: &dyn Fn(Task) -> Result<Schedule>,
) -> Result<Vec<Tensor>> {
    let device = &Device(Backend::Gpu(gpu.clone()));
    // Numbers that 16 bits hold.
    let values = |shape: &[usize], size: f32, seed: f32| {
        let n: usize = shape.iter().product();
        let word = |k| f16::from_f32(size * (k as f32 * 12.9898 + seed).sin()).to_f32();
        Tensor::from_slice(&(0..n).map(word).collect::<Vec<_>>(), shape, device)
    };
    let size = 1.0 / (h as f32).sqrt();
    let weight = |shape: &[usize], seed| {
        let weight = values(shape, size, seed)?;
        if in_half { half(&weight) } else { Ok(weight) }
    };
    let weights = Weights {
        weight_ih: weight(&[i, h, 4], 1.0)?,
        weight_hh: weight(&[h, h, 4], 2.0)?,
        bias: Some(values(&[h, 4], 0.5, 3.0)?),
        peepholes: None,
    };
    let gradients = Weights {
        weight_ih: Tensor::zeros([i, h, 4], device)?,
        weight_hh: Tensor::zeros([h, h, 4], device)?,
        bias: Some(Tensor::zeros([h, 4], device)?),
        peepholes: None,
    };
    let x = values(&[b, t, i], 1.0, 4.0)?;
    let (h_0, c_0) = (values(&[b, h], 1.0, 5.0)?, values(&[b, h], 1.0, 6.0)?);
    let y = Tensor::zeros([b, t, h], device)?;
    let config = CellConfig::default();
    let calls = [Forward {
        x: &x,
        weights: &weights,
        lengths: None,
        state: Some((&h_0, &c_0)),
        y: Some(Columns { tensor: &y, first: 0 }),
        save,
        config,
    }];
    let sizes = Sizes { batch: b, timesteps: t, input_size: i, hidden_size: h };
    let chunks = chunks::together(gpu, &calls, &[sizes])?.unwrap_or_default();
    let outputs =
        forward_with(gpu, &calls, &[sizes], chunks, schedule(Task::forward(&calls, sizes))?)?;
    let mut found = vec![y.clone()];
    let d_y = values(&[b, t, h], 1.0, 7.0)?;
    let arriving =
        OutputGrads { d_y: Some(Columns { tensor: &d_y, first: 0 }), d_h_n: None, d_c_n: None };
    let mut passes = Vec::new();
    for Output { h_n, c_n, saved } in outputs {
        found.extend([h_n, c_n]);
        passes.extend(saved.map(|saved| Backward { saved, arriving, gradients: &gradients }));
    }
    if save {
        let schedule = schedule(Task::backward(1, &passes[0].saved))?;
        let wanted = GradRequest { d_x: true, d_state: true };
        for leaving in backward_with(gpu, passes, wanted, schedule)? {
            found.extend(leaving.d_x);
            found.extend(leaving.d_state.into_iter().flat_map(|(d_h, d_c)| [d_h, d_c]));
        }
        found.extend([gradients.weight_ih, gradients.weight_hh].into_iter().chain(gradients.bias));
    }
    Ok(found)
}
