//! y[0] (+)= scale * the sum of x, in a fixed order.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, long_sum, rowwise, switches,
};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "reduce_sum",
    parts: &[INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, wgsl!("sums/reduce_sum.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || switches(["ACCUMULATE"]),
    ..Kernel::PLAIN
};

/// The elements that a workgroup adds up: 256 for each of its 64 invocations, as the kernel has it.
const BLOCK: usize = 64 * 256;

/// `y` is `[1]`.
pub(crate) fn reduce_sum(x: &Tensor, scale: f32, accumulate: bool, y: &Tensor) -> Result<()> {
    let Some(gpu) = x.gpu() else {
        let mut parts = vec![0.0; x.len().div_ceil(BLOCK)];
        let blocks = Blocks(&x.cpu());
        y.cpu_mut(|y| {
            rows(&blocks, [1], [&mut parts], BLOCK);
            let sum = scale * long_sum::sum(parts.into_iter());
            y[0] = if accumulate { y[0] + sum } else { sum };
        });
        return Ok(());
    };
    let launch = |x: &Tensor, scale: f32, accumulate: bool, y: &Tensor| {
        let groups = x.len().div_ceil(BLOCK).max(1);
        rowwise(&KERNEL, groups)
            .constants(&[("ACCUMULATE", accumulate.into())])
            .words(&[scale.to_bits(), x.len() as u32])
            .run(gpu, &[Some(x), Some(y)])
    };
    if x.len() <= BLOCK {
        return launch(x, scale, accumulate, y);
    }
    // Each workgroup leaves the sum of its block, and these are added up in turn.
    let parts = Tensor::empty([x.len().div_ceil(BLOCK)], &x.device())?;
    launch(x, 1.0, false, &parts)?;
    reduce_sum(&parts, scale, accumulate, y)
}

struct Blocks<'a>(&'a [f32]);

impl Rows<1> for Blocks<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, block: usize, [part]: [&mut [f32]; 1]) {
        let rest = &self.0[block * BLOCK..];
        let x = &rest[..rest.len().min(BLOCK)];
        let (zero, lanes) = (simd.splat_f32s(0.0), S::F32_LANES);
        let mut sum = LongSum::new(simd);
        for x in x.chunks(4 * lanes) {
            let mut four = [zero; 4];
            for (at, four) in (0..x.len()).step_by(lanes).zip(&mut four) {
                *four = load(simd, x, at, zero);
            }
            let [a, b, c, d] = four;
            sum.add(simd, simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)));
        }
        part.fill(sum.total(simd) as f32);
    }
}
