//! One step of gradient descent for all parameters at once.

use super::{INDEX, switches};
use crate::device::kernel::Access::Write;
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "sgd",
    parts: &[INDEX, include_str!("../../shaders/sgd.wgsl")],
    bindings: &[("p", Write), ("g", Write), ("v", Write)],
    variants: || switches(["NESTEROV"]),
};

/// Moves the parameters `p` along the gradients `g`, which are then zero.
pub(crate) fn sgd(
    p: &Tensor,
    g: &Tensor,
    v: &Tensor,
    rate: f32,
    momentum: f32,
    nesterov: bool,
) -> Result<()> {
    let Some(gpu) = p.gpu() else {
        p.cpu_mut(|p| g.cpu_mut(|g| v.cpu_mut(|v| twin(p, g, v, rate, momentum, nesterov))));
        return Ok(());
    };
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: folded(p.len().div_ceil(64)),
        constants: &[("NESTEROV", nesterov.into())],
        uniform: &[p.len() as u32, rate.to_bits(), momentum.to_bits()],
        tensors: &[Some(p), Some(g), Some(v)],
    })
}

fn twin(p: &mut [f32], g: &mut [f32], v: &mut [f32], rate: f32, momentum: f32, nesterov: bool) {
    for ((p, g), v) in p.iter_mut().zip(g).zip(v) {
        *v = momentum * *v + *g;
        *p -= rate * if nesterov { *g + momentum * *v } else { *v };
        *g = 0.0;
    }
}
