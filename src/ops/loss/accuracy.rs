//! The share of right answers of each row.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, elementwise, last_axis, product, switches};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "accuracy",
    parts: &[INDEX, IS_NAN, ELEMENTWISE, wgsl!("loss/accuracy.wgsl")],
    bindings: &[("x", Read), ("expected", Read), ("weights", Read), ("hit", Write)],
    variants: || product(switches(["WEIGHTS"]), &[vec![("KIND", 0)], vec![("KIND", 1)]]),
    ..Kernel::PLAIN
};

/// What is compared; the number is the kernel's `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The place of the largest of `x` with a label.
    Categorical = 0,
    /// The sign of a logit with 0 or 1.
    Binary = 1,
}

/// `w * share` of each row of `x` `[..,C]`.
pub(crate) fn accuracy(
    kind: Kind,
    x: &Tensor,
    expected: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let c = last_axis(x);
    let rows = x.len() / c;
    let hit = Tensor::empty([rows], &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&KERNEL, rows)
            .constants(&[("WEIGHTS", weights.is_some().into()), ("KIND", kind as u32)])
            .words(&[c as u32])
            .run(gpu, &[Some(x), Some(expected), weights, Some(&hit)])?,
        None => {
            let (x, expected, weights) = (x.cpu(), expected.cpu(), weights.map(Tensor::cpu));
            hit.cpu_mut(|hit| {
                for (row, (hit, x)) in hit.iter_mut().zip(x.chunks_exact(c)).enumerate() {
                    let share = match kind {
                        Kind::Categorical => {
                            let best =
                                (1..c).fold(0, |best, j| if x[j] > x[best] { j } else { best });
                            // Who says NaN of a class says nothing.
                            let says = !x.iter().any(|x| x.is_nan());
                            f32::from(says && best as u32 == expected.as_u32()[row])
                        }
                        Kind::Binary => {
                            let y = &expected[row * c..(row + 1) * c];
                            let right = |&(&x, &y): &(&f32, &f32)| {
                                (x > 0.0) == (y > 0.5) && !x.is_nan() && !y.is_nan()
                            };
                            x.iter().zip(y).filter(right).count() as f32 / c as f32
                        }
                    };
                    *hit = share * weights.as_ref().map_or(1.0, |w| w[row]);
                }
            });
        }
    }
    Ok(hit)
}
