//! What an optimizer's step multiplies by, where a loss scale leaves steps out: only the device knows their
//! number.

use super::rule::{Kind, Rule};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, Workgroup, wgsl};
use crate::ops::common::Launch;
use crate::{Result, Tensor};

pub(super) const RULES: Wgsl = wgsl!("optim/parts/rules.wgsl");

pub(crate) static KERNEL: Kernel = Kernel {
    name: "step_factors",
    parts: &[RULES, wgsl!("optim/step_factors.wgsl")],
    bindings: &[("state", Read), ("count", Write), ("factors", Write)],
    variants: || Kind::ALL.iter().map(|&kind| vec![("RULE", kind as u32)]).collect(),
    workgroup: Workgroup::Of([1, 1, 1]),
};

/// Writes to `factors` `[4]` what [`super::update::update`] is to multiply by. `state` is the loss scale's and
/// `count` `[2]` has the number of the step, both settled by [`super::loss_scale`], and the product of
/// NAdam's momentums.
pub(crate) fn step_factors(
    rule: &Rule,
    state: &Tensor,
    count: &Tensor,
    factors: &Tensor,
) -> Result<()> {
    if let Some(gpu) = state.gpu() {
        return gpu.run(&Launch {
            kernel: &KERNEL,
            grid: [1, 1, 1],
            constants: &[("RULE", rule.kind as u32)],
            uniform: &rule.words(),
            tensors: &[Some(state), Some(count), Some(factors)],
        });
    }
    let inverse = state.cpu()[1];
    factors.cpu_mut(|factors| {
        factors[0] = inverse;
        if inverse == 0.0 {
            return;
        }
        count.cpu_mut(|count| {
            let mut product = f64::from(count[1]);
            factors[1..].copy_from_slice(&rule.factors(count[0] as i32, &mut product));
            count[1] = product as f32;
        });
    });
    Ok(())
}
