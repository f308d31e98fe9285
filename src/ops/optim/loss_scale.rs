//! The dynamic loss scale of mixed precision. Gradients of 16 bits are too small below 6e-8, so the
//! loss, and with it every gradient, is multiplied by a scale: as large as they stay finite. A step
//! whose gradients do not is left out. All of that happens on the device: nothing is read back.
//!
//! Source: Micikevicius et al. 2018, arXiv 1710.03740; the constants are PyTorch's `GradScaler`'s.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Workgroup, wgsl};
use crate::ops::common::vector::{Fold, Map, map, total};
use crate::ops::common::{ELEMENTWISE, INDEX, Launch, elementwise, switches};
use crate::{Device, Result, Tensor};
use pulp::Simd;
use std::sync::Arc;

pub(crate) static CHECK: Kernel = Kernel {
    name: "loss_scale_check",
    parts: &[INDEX, ELEMENTWISE, wgsl!("optim/loss_scale_check.wgsl")],
    bindings: &[("g", Read), ("state", Write)],
    ..Kernel::PLAIN
};

pub(crate) static UPDATE: Kernel = Kernel {
    name: "loss_scale_update",
    parts: &[wgsl!("optim/loss_scale_update.wgsl")],
    bindings: &[("state", Write), ("count", Write)],
    workgroup: Workgroup::Of([1, 1, 1]),
    ..Kernel::PLAIN
};

pub(crate) static RESCALE: Kernel = Kernel {
    name: "rescale",
    parts: &[INDEX, ELEMENTWISE, wgsl!("optim/rescale.wgsl")],
    bindings: &[("x", Read), ("state", Read), ("y", Write)],
    variants: || switches(["INVERSE"]),
    ..Kernel::PLAIN
};

/// Finite steps before the scale doubles; the range that it stays in.
const GROWTH: f32 = 2000.0;
const LEAST: f32 = 1.0 / 16_777_216.0;
const MOST: f32 = 16_777_216.0;

/// A scale of 65,536, before any step.
pub(crate) fn state(device: &Device) -> Result<Tensor> {
    Tensor::from_slice(&[65_536.0, 0.0, 0.0, 0.0], [4], device)
}

/// Begins an optimizer's step: settles whether all gradients allow one, adds it to `count` `[1]` if
/// so, and sets the scale of the next. [`super::step_factors`] then reads both.
pub(crate) fn settle(gradients: &[&Tensor], state: &Tensor, count: &Tensor) -> Result<()> {
    let Some(gpu) = state.gpu() else {
        let bad = !all_finite(gradients);
        state.cpu_mut(|state| count.cpu_mut(|count| twin(bad, state, &mut count[0])));
        return Ok(());
    };
    check(gpu, gradients, state)?;
    gpu.run(&Launch {
        kernel: &UPDATE,
        grid: [1, 1, 1],
        constants: &[],
        uniform: &[GROWTH, LEAST, MOST].map(f32::to_bits),
        tensors: &[Some(state), Some(count)],
    })
}

/// Notes in the last word of `state` `[4]` whether a gradient is not finite.
pub(super) fn check(gpu: &Arc<Gpu>, gradients: &[&Tensor], state: &Tensor) -> Result<()> {
    for g in gradients.iter().filter(|g| !g.is_empty()) {
        for window in g.windows(g.len(), 1) {
            elementwise(&CHECK, window.len().div_ceil(4))
                .words(&[window.len() as u32])
                .run(gpu, &[Some(&g.window(&window)), Some(state)])?;
        }
    }
    Ok(())
}

/// Whether all numbers of these gradients on the CPU are finite.
pub(super) fn all_finite(gradients: &[&Tensor]) -> bool {
    gradients.iter().all(|g| g.on_threads(|| total(&Unfinished, &g.cpu()) == 0.0))
}

/// 1 if a number is not finite. Without a branch for each, so that the compiler makes vectors of it.
struct Unfinished;

impl Fold for Unfinished {
    #[inline(always)]
    fn of<S: Simd>(&self, _: S, x: &[f32]) -> f64 {
        let mut bad = false;
        for x in x {
            bad |= x.to_bits() & 0x7F80_0000 == 0x7F80_0000;
        }
        f64::from(u8::from(bad))
    }
}

fn twin(bad: bool, state: &mut [f32], count: &mut f32) {
    let scale = state[0];
    if bad {
        state.copy_from_slice(&[(scale * 0.5).max(LEAST), 0.0, 0.0, 0.0]);
        return;
    }
    let good = state[2] + 1.0;
    let next = if good >= GROWTH { (scale * 2.0).min(MOST) } else { scale };
    state.copy_from_slice(&[next, 1.0 / scale, if good >= GROWTH { 0.0 } else { good }, 0.0]);
    *count += 1.0;
}

/// `x` times the scale, or divided by it.
pub(crate) fn rescale(x: &Tensor, state: &Tensor, inverse: bool) -> Result<Tensor> {
    let y = Tensor::empty(x.shape(), &x.device())?;
    if x.is_empty() {
        return Ok(y);
    }
    let Some(gpu) = x.gpu() else {
        // A value of an op of the user's own may lie elsewhere than the parameters.
        let scale = match state.gpu() {
            Some(_) => state.to_vec()?[0],
            None => state.cpu()[0],
        };
        let factor = if inverse { 1.0 / scale } else { scale };
        let x = x.cpu();
        y.cpu_mut(|y| map(&Times(factor), [&x], [y]));
        return Ok(y);
    };
    elementwise(&RESCALE, x.len())
        .constants(&[("INVERSE", inverse.into())])
        .run(gpu, &[Some(x), Some(state), Some(&y)])?;
    Ok(y)
}

/// x times a factor.
struct Times(f32);

impl Map<1, 1> for Times {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        [simd.mul_f32s(x, simd.splat_f32s(self.0))]
    }
}
