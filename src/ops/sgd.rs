//! One step of gradient descent for all parameters at once.

use super::{INDEX, LOSS_SCALE, switches};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "sgd",
    parts: &[INDEX, LOSS_SCALE, include_str!("../../shaders/sgd.wgsl")],
    bindings: &[("p", Write), ("g", Write), ("v", Write), ("scaling", Read)],
    variants: || switches(["NESTEROV", "SCALED"]),
};

/// The factors of one step; see the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) rate: f32,
    pub(crate) momentum: f32,
    pub(crate) nesterov: bool,
}

/// Moves the parameters `p` along the gradients `g`, which are then zero. `scaling`: the loss scale
/// that they have, settled by [`super::loss_scale`].
pub(crate) fn sgd(
    p: &Tensor,
    g: &Tensor,
    v: &Tensor,
    f: Factors,
    scaling: Option<&Tensor>,
) -> Result<()> {
    let Some(gpu) = p.gpu() else {
        let inverse = scaling.map_or(1.0, |scaling| scaling.cpu()[1]);
        p.cpu_mut(|p| g.cpu_mut(|g| v.cpu_mut(|v| twin(p, g, v, f, inverse))));
        return Ok(());
    };
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: folded(p.len().div_ceil(64)),
        constants: &[("NESTEROV", f.nesterov.into()), ("SCALED", scaling.is_some().into())],
        uniform: &[p.len() as u32, f.rate.to_bits(), f.momentum.to_bits()],
        tensors: &[Some(p), Some(g), Some(v), scaling],
    })
}

fn twin(p: &mut [f32], g: &mut [f32], v: &mut [f32], f: Factors, inverse: f32) {
    if inverse == 0.0 {
        g.fill(0.0);
        return;
    }
    for ((p, g), v) in p.iter_mut().zip(g).zip(v) {
        let d = *g * inverse;
        *v = f.momentum * *v + d;
        *p -= f.rate * if f.nesterov { d + f.momentum * *v } else { *v };
        *g = 0.0;
    }
}
