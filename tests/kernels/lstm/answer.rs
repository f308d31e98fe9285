//! What the oracle says of a case.

use super::super::oracle::{self, widen};
use crate::ops::lstm::cell::{Cell, Noise};
use crate::{Coupling, GateActivation};

/// A cell as the oracle has it, dice included, of `[B,T,H]`; `peepholes` are `[3H]`. Behind a mask the dice
/// are those of the steps that count, one after the other.
pub(crate) fn exact_cell(
    cell: Cell,
    noise: Noise,
    peepholes: &[f32],
    [b, t, h]: [usize; 3],
    mask: Option<&[bool]>,
) -> oracle::lstm::Cell {
    if let Some(mask) = mask {
        let counted: Vec<Vec<_>> =
            mask.chunks(t).map(|row| (0..t).filter(|&step| row[step]).collect()).collect();
        let longest = counted.iter().map(Vec::len).max().unwrap_or(0);
        let mut exact = exact_cell(cell, noise, peepholes, [b, longest, h], None);
        for stays in exact.stays.iter_mut().flatten() {
            let mut all = vec![0.0; b * t * h];
            for (row, steps) in counted.iter().enumerate() {
                for (frame, step) in steps.iter().enumerate() {
                    let drawn = &stays[(row * longest + frame) * h..][..h];
                    all[(row * t + step) * h..][..h].copy_from_slice(drawn);
                }
            }
            *stays = all;
        }
        return exact;
    }
    let act = |a| match a {
        GateActivation::Sigmoid => oracle::lstm::Act::Sigmoid,
        GateActivation::Tanh => oracle::lstm::Act::Tanh,
        GateActivation::Relu => oracle::lstm::Act::Relu,
        GateActivation::Affine { alpha, beta } => {
            oracle::lstm::Act::Affine(alpha.into(), beta.into())
        }
        GateActivation::HardSigmoid { alpha, beta } => {
            oracle::lstm::Act::HardSigmoid(alpha.into(), beta.into())
        }
        GateActivation::LeakyRelu { alpha } => oracle::lstm::Act::LeakyRelu(alpha.into()),
        GateActivation::ScaledTanh { alpha, beta } => {
            oracle::lstm::Act::ScaledTanh(alpha.into(), beta.into())
        }
        GateActivation::Elu { alpha } => oracle::lstm::Act::Elu(alpha.into()),
        GateActivation::Softsign => oracle::lstm::Act::Softsign,
        GateActivation::Softplus => oracle::lstm::Act::Softplus,
        GateActivation::ThresholdedRelu { alpha } => {
            oracle::lstm::Act::ThresholdedRelu(alpha.into())
        }
    };
    let p = cell.recurrent_dropout;
    let training = noise.training;
    // The dice of `shaders/lstm/parts/rows.wgsl`, whose generator has known answers.
    let scale = |at: usize| match noise.key.floats([at as u32, 0])[0] < p {
        true => 0.0,
        false => 1.0 / (1.0 - f64::from(p)),
    };
    let stays = |which: usize| {
        let share = cell.zoneout[which];
        (0..b * t * h)
            .map(|at| match training {
                true => {
                    let random = noise.key.floats([at as u32, 1])[which];
                    f64::from(u8::from(random < share))
                }
                false => f64::from(share),
            })
            .collect()
    };
    oracle::lstm::Cell {
        recurrent: act(cell.recurrent),
        input: act(cell.input),
        output: act(cell.output),
        coupling: match cell.coupling {
            Coupling::None => oracle::lstm::Coupling::None,
            Coupling::InputFollowsForget => oracle::lstm::Coupling::InputFollowsForget,
            Coupling::ForgetFollowsInput => oracle::lstm::Coupling::ForgetFollowsInput,
        },
        clip: cell.clip.map_or(f64::INFINITY, f64::from),
        cell_clip: cell.cell_clip.map_or(f64::INFINITY, f64::from),
        peepholes: cell.peepholes.then(|| widen(peepholes)),
        scale: (p > 0.0 && training).then(|| (0..b * h).map(scale).collect()),
        stays: (cell.zoneout != [0.0; 2]).then(|| [stays(0), stays(1)]),
    }
}

pub(crate) struct Answer {
    pub(super) out: oracle::lstm::Outputs,
    pub(super) gradients: oracle::lstm::Gradients,
}
