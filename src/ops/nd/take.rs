//! Places of an axis, by their numbers on the host.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::some_rows;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "take",
    parts: &[INDEX, ELEMENTWISE, wgsl!("nd/take.wgsl")],
    bindings: &[("x", Read), ("numbers", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// A place past the last one of any axis.
pub(super) const NONE: usize = usize::MAX;

/// `x` as `[outer,size,inner]` with these places of its middle axis, in a tensor of `shape`; `value` for one that
/// is past the last, such as [`NONE`].
pub(super) fn take(
    x: &Tensor,
    [_, size, inner]: [usize; 3],
    places: &[usize],
    value: f32,
    shape: Vec<usize>,
) -> Result<Tensor> {
    let device = x.device();
    let y = Tensor::empty(shape, &device)?;
    if y.is_empty() {
        return Ok(y);
    }
    if let Some(gpu) = x.gpu() {
        let numbers: Vec<_> = places.iter().map(|&n| n.min(u32::MAX as usize) as u32).collect();
        let numbers = Tensor::from_u32(&numbers, [places.len()], &device)?;
        let words = [size as u32, places.len() as u32, inner as u32, value.to_bits()];
        elementwise(&KERNEL, y.len())
            .words(&words)
            .run(gpu, &[Some(x), Some(&numbers), Some(&y)])?;
        return Ok(y);
    }
    let x = x.cpu();
    y.cpu_mut(|y| {
        some_rows(y, inner, |first, y| {
            let (mut outer, mut at) = (first / places.len(), first % places.len());
            for y in y.chunks_exact_mut(inner) {
                match places[at] {
                    place if place >= size => y.fill(value),
                    place if inner == 1 => y[0] = x[outer * size + place],
                    place => y.copy_from_slice(&x[(outer * size + place) * inner..][..inner]),
                }
                at += 1;
                if at == places.len() {
                    (outer, at) = (outer + 1, 0);
                }
            }
        });
    });
    Ok(y)
}
