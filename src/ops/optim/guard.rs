//! What ends a training's steps at the first gradient that is not finite, so that the last good values stay;
//! nothing is read back.

use super::loss_scale::{all_finite, check};
use crate::device::kernel::Access::Write;
use crate::device::kernel::{Kernel, Workgroup, wgsl};
use crate::ops::common::Launch;
use crate::{Device, Result, Tensor};
use std::sync::{Arc, OnceLock};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "guard",
    parts: &[wgsl!("optim/guard.wgsl")],
    bindings: &[("state", Write), ("factors", Write)],
    workgroup: Workgroup::Of([1, 1, 1]),
    ..Kernel::PLAIN
};

/// A guard of the steps from now on.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// `[4]`, as the kernel has it.
    state: Tensor,
    /// `[4]` of [`super::step_factors`].
    factors: Tensor,
    /// The steps made, once somebody has read that it ended them.
    good: Arc<OnceLock<u64>>,
}

impl Guard {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let [state, factors] = [Tensor::zeros([4], device)?, Tensor::zeros([4], device)?];
        Ok(Self { state, factors, good: Arc::default() })
    }

    /// Begins an optimizer's step with these gradients: gives what [`super::update::update`] is to multiply by.
    pub(crate) fn step(&self, gradients: &[&Tensor], factors: [f32; 3]) -> Result<Tensor> {
        let Self { state, factors: found, .. } = self;
        if let Some(gpu) = state.gpu() {
            check(gpu, gradients, state)?;
            gpu.run(&Launch {
                kernel: &KERNEL,
                grid: [1, 1, 1],
                constants: &[],
                uniform: &factors.map(f32::to_bits),
                tensors: &[Some(state), Some(found)],
            })?;
            return Ok(found.clone());
        }
        let bad = !all_finite(gradients);
        state.cpu_mut(|state| {
            if bad {
                state[3] = f32::from_bits(1);
            }
            let good = f32::from(u8::from(state[3].to_bits() == 0));
            state[0] += good;
            let [x, y, z] = factors;
            found.cpu_mut(|found| found.copy_from_slice(&[good, x, y, z]));
        });
        Ok(found.clone())
    }

    /// The steps made, if it ended them. Waits for the device.
    pub(crate) fn ended(&self) -> Result<Option<u64>> {
        let state = self.state.to_vec()?;
        let ended = (state[3].to_bits() != 0).then_some(state[0] as u64);
        Ok(ended.map(|good| *self.good.get_or_init(|| good)))
    }

    /// What [`Guard::ended`] gave, if it was asked; nothing is read.
    pub(crate) fn known(&self) -> Option<u64> {
        self.good.get().copied()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.good, &other.good)
    }
}
