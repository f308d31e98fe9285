//! Long sums on GPUs, cut into slices that run side by side, and the kernel that adds these up. A gradient
//! of weights has few tiles, and a term for each frame of a batch: uncut, most of a GPU would be idle.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, switches};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "gemm_slices",
    parts: &[INDEX, ELEMENTWISE, wgsl!("gemm/gemm_slices.wgsl")],
    bindings: &[("parts", Read), ("bias", Read), ("c", Write)],
    variants: || switches(["BIAS", "ACCUMULATE"]),
    ..Kernel::PLAIN
};

/// Workgroups that keep a large GPU busy: two for each of some 130 cores.
const WORKGROUPS: usize = 256;
/// Terms of a slice, at least: fewer are not worth a kernel that adds the slices up.
const TERMS: usize = 256;
/// Slices begin at multiples of this, which the widest turns of a kernel are.
const ALIGNED: usize = 32;

/// The terms of a slice of a sum of `terms`, that so many workgroups make: all of them where they are
/// enough. Of sizes alone, so the same sizes have the same bits on every hardware GPU; a software adapter's
/// few threads are busy anyway.
pub(crate) fn terms(gpu: &Gpu, workgroups: usize, terms: usize) -> usize {
    match gpu.forced().slices {
        Some(slices) => cut(terms, slices),
        None if gpu.info.software => terms,
        None => planned(workgroups, terms),
    }
}

/// The terms of a slice on a hardware GPU, of sums of `terms` that `workgroups` tiles need.
pub(crate) fn planned(workgroups: usize, terms: usize) -> usize {
    cut(terms, (WORKGROUPS / workgroups).min(terms / TERMS))
}

/// The terms of each of so many slices.
pub(crate) fn cut(terms: usize, slices: usize) -> usize {
    match slices {
        0 | 1 => terms,
        _ => terms.div_ceil(slices).next_multiple_of(ALIGNED).min(terms),
    }
}

/// `c` (+)= the sum over the first axis of `parts` `[slices,m,n]`, and `bias`. Rows of `c` are `stride`
/// elements apart, the first one `offset` from its begin.
pub(crate) fn add_slices(
    parts: &Tensor,
    bias: Option<&Tensor>,
    accumulate: bool,
    (c, offset, stride): (&Tensor, usize, usize),
) -> Result<()> {
    let (&[slices, m, n], Some(gpu)) = (parts.shape(), c.gpu()) else { return Ok(()) };
    elementwise(&KERNEL, m * n)
        .constants(&[("BIAS", bias.is_some().into()), ("ACCUMULATE", accumulate.into())])
        .words(&[slices, n, stride, offset].map(|word| word as u32))
        .run(gpu, &[Some(parts), bias, Some(c)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_terms() {
        for (terms, slices) in [(1, 1), (1, 7), (31, 2), (64, 2), (65, 2), (8192, 4), (1000, 7)] {
            let each = cut(terms, slices);
            let found = terms.div_ceil(each);
            assert!(found <= slices.max(1) && each * found >= terms, "{terms} {slices}: {each}");
            assert!(found == 1 || each.is_multiple_of(ALIGNED), "{terms} {slices}: {each}");
        }
    }
}
