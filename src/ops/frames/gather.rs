//! Frames by their numbers, and the sums over runs of frames: the gradient of frames that are repeated.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Rows, load, rows, some_rows, store};
use crate::ops::common::{ELEMENTWISE, INDEX, LONG_SUM, elementwise, last_axis, switches};
use crate::{Result, Tensor};
use pulp::Simd;
use std::ops::Range;

pub(crate) static GATHER: Kernel = Kernel {
    name: "gather",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/gather.wgsl")],
    bindings: &[("x", Read), ("others", Read), ("numbers", Read), ("y", Write)],
    variants: || switches(["OTHERS"]),
    ..Kernel::PLAIN
};

pub(crate) static SUM_RUNS: Kernel = Kernel {
    name: "sum_runs",
    parts: &[INDEX, LONG_SUM, ELEMENTWISE, wgsl!("frames/sum_runs.wgsl")],
    bindings: &[("x", Read), ("runs", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// The frames `[M,C]` of `x` `[..,C]` with these numbers `[M]`. Numbers past its last frame are those of
/// `others`, `[..,C]`, counted on; without them the frame is 0.
pub(crate) fn gather(x: &Tensor, others: Option<&Tensor>, numbers: &Tensor) -> Result<Tensor> {
    let c = last_axis(x);
    let y = Tensor::empty([numbers.len(), c], &x.device())?;
    let frames = x.len() / c;
    if let Some(gpu) = x.gpu() {
        elementwise(&GATHER, y.len())
            .constants(&[("OTHERS", others.is_some().into())])
            .words(&[c as u32, frames as u32])
            .run(gpu, &[Some(x), others, Some(numbers), Some(&y)])?;
        return Ok(y);
    }
    let (x, others, numbers) = (x.cpu(), others.map(Tensor::cpu), numbers.cpu());
    let numbers = numbers.as_u32();
    y.cpu_mut(|y| {
        some_rows(y, c, |first, y| {
            for (y, &number) in y.chunks_exact_mut(c).zip(&numbers[first..]) {
                let number = number as usize;
                match &others {
                    _ if number < frames => y.copy_from_slice(&x[number * c..][..c]),
                    Some(others) => y.copy_from_slice(&others[(number - frames) * c..][..c]),
                    None => y.fill(0.0),
                }
            }
        });
    });
    Ok(y)
}

/// The sums `[S,C]` of the frames of `x` `[..,C]` in some of these runs, `[..,2]`: first, and behind the last.
pub(crate) fn sum_runs(x: &Tensor, runs: &Tensor, some: Range<usize>) -> Result<Tensor> {
    let c = last_axis(x);
    let y = Tensor::empty([some.len(), c], &x.device())?;
    if let Some(gpu) = x.gpu() {
        elementwise(&SUM_RUNS, y.len())
            .words(&[c as u32, some.start as u32])
            .run(gpu, &[Some(x), Some(runs), Some(&y)])?;
        return Ok(y);
    }
    let (x, runs) = (x.cpu(), runs.cpu());
    let sums = SumRuns { x: &x, runs: &runs.as_u32()[2 * some.start..2 * some.end] };
    // A run may be long, but all of them together are no more than `x`.
    let cost = c + x.len() / some.len().max(1);
    y.cpu_mut(|y| rows(&sums, [c], [y], cost));
    Ok(y)
}

struct SumRuns<'a> {
    x: &'a [f32],
    runs: &'a [u32],
}

/// Vectors that are summed side by side.
const WIDE: usize = 4;

impl Rows<1> for SumRuns<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let run = self.runs[2 * row] as usize..self.runs[2 * row + 1] as usize;
        if run.len() == 1 {
            y.copy_from_slice(&self.x[run.start * y.len()..][..y.len()]);
            return;
        }
        for at in (0..y.len()).step_by(WIDE * S::F32_LANES) {
            let sums = self.sums(simd, run.clone(), y.len(), at);
            for (j, sum) in sums.into_iter().enumerate() {
                let at = at + j * S::F32_LANES;
                if at < y.len() {
                    store(simd, y, at, sum);
                }
            }
        }
    }
}

impl SumRuns<'_> {
    /// The sums of some columns from `at` on, by the levels of `shaders/common/long_sum.wgsl`.
    #[inline(always)]
    fn sums<S: Simd>(&self, simd: S, run: Range<usize>, c: usize, at: usize) -> [S::f32s; WIDE] {
        const PART: usize = 16;
        let zero = [simd.splat_f32s(0.0); WIDE];
        let mut levels = [zero; 4];
        let mut parts = 0;
        let mut frame = run.start;
        while frame < run.end {
            let end = run.end.min(frame + PART);
            let mut part = zero;
            while frame < end {
                let words = &self.x[frame * c..][..c];
                for (j, sum) in part.iter_mut().enumerate() {
                    let at = at + j * S::F32_LANES;
                    if at < c {
                        *sum = simd.add_f32s(*sum, load(simd, words, at, zero[0]));
                    }
                }
                frame += 1;
            }
            parts += 1;
            let (mut level, mut size) = (0, PART);
            loop {
                for (sum, part) in levels[level].iter_mut().zip(part) {
                    *sum = simd.add_f32s(*sum, part);
                }
                if level == 3 || parts % size != 0 {
                    break;
                }
                part = std::mem::replace(&mut levels[level], zero);
                (level, size) = (level + 1, size * PART);
            }
        }
        let [mut sums, ..] = levels;
        for level in &levels[1..] {
            for (sum, part) in sums.iter_mut().zip(level) {
                *sum = simd.add_f32s(*sum, *part);
            }
        }
        sums
    }
}
