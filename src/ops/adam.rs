//! One step of Adam for all parameters at once.

use super::INDEX;
use crate::device::kernel::Access::Write;
use crate::device::kernel::{Kernel, Launch, folded};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "adam",
    parts: &[INDEX, include_str!("../../shaders/adam.wgsl")],
    bindings: &[("p", Write), ("g", Write), ("m", Write), ("v", Write)],
    variants: || vec![vec![]],
};

/// The factors of one step; see the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) rate: f32,
    pub(crate) root: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    pub(crate) decay: f32,
}

/// Moves the parameters `p` along the gradients `g`, which are then zero.
pub(crate) fn adam(p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, f: Factors) -> Result<()> {
    let Some(gpu) = p.gpu() else {
        p.cpu_mut(|p| g.cpu_mut(|g| m.cpu_mut(|m| v.cpu_mut(|v| twin(p, g, m, v, f)))));
        return Ok(());
    };
    let [rate, root, beta1, beta2, epsilon, decay] =
        [f.rate, f.root, f.beta1, f.beta2, f.epsilon, f.decay].map(f32::to_bits);
    gpu.run(&Launch {
        kernel: &KERNEL,
        grid: folded(p.len().div_ceil(64)),
        constants: &[],
        uniform: &[p.len() as u32, rate, root, beta1, beta2, epsilon, decay],
        tensors: &[Some(p), Some(g), Some(m), Some(v)],
    })
}

fn twin(p: &mut [f32], g: &mut [f32], m: &mut [f32], v: &mut [f32], f: Factors) {
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        *m = f.beta1 * *m + (1.0 - f.beta1) * *g;
        *v = f.beta2 * *v + (1.0 - f.beta2) * *g * *g;
        *p = *p * (1.0 - f.decay) - f.rate * *m / (v.sqrt() / f.root + f.epsilon);
        *g = 0.0;
    }
}
