//! The frames under each window side by side, so that a convolution is a product; and the gradient.

use super::Window;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Rows, rows, some_rows};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;
use std::ops::Range;

pub(crate) static UNFOLD: Kernel = Kernel {
    name: "unfold",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/unfold.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) static FOLD: Kernel = Kernel {
    name: "fold",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/fold.wgsl")],
    bindings: &[("d_y", Read), ("d_x", Write)],
    ..Kernel::PLAIN
};

/// How sequences are unfolded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfold {
    pub(crate) window: Window,
    /// `[B,T,C]` of x.
    pub(crate) dims: [usize; 3],
    /// Parts of the channels, each of which has its own columns.
    pub(crate) groups: usize,
}

impl Unfold {
    /// The outputs of each sequence.
    pub(crate) fn steps(self) -> usize {
        self.window.steps(self.dims[1])
    }

    /// The columns of an output.
    pub(crate) fn width(self) -> usize {
        self.window.size * self.dims[2]
    }

    fn words(self, some: &Range<usize>) -> [u32; 10] {
        let [size, stride, dilation, before] = self.window.words();
        let [_, t, c] = self.dims.map(|size| size as u32);
        let last = [self.steps(), self.groups, some.start, some.len()].map(|word| word as u32);
        let [steps, groups, first, count] = last;
        [size, stride, dilation, before, t, c, steps, groups, first, count]
    }

    /// `some` of the outputs `[B,steps]`, each `[groups,size,C/groups]`.
    pub(crate) fn unfold(self, x: &Tensor, some: &Range<usize>) -> Result<Tensor> {
        let width = self.width();
        let y = Tensor::empty([some.len(), width], &x.device())?;
        if let Some(gpu) = x.gpu() {
            elementwise(&UNFOLD, y.len())
                .words(&self.words(some)[..9])
                .run(gpu, &[Some(x), Some(&y)])?;
            return Ok(y);
        }
        let ([_, t, c], steps) = (self.dims, self.steps());
        let (x, channels) = (x.cpu(), c / self.groups);
        y.cpu_mut(|y| {
            some_rows(y, width, |first, y| {
                for (row, y) in (some.start + first..).zip(y.chunks_exact_mut(width)) {
                    let taps = self.window.taps(row % steps, t);
                    let at = row % steps * self.window.stride;
                    for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                        let (group, tap) = (column / self.window.size, column % self.window.size);
                        if taps.contains(&tap) {
                            let frame = at + tap * self.window.dilation - self.window.before;
                            let from = (row / steps * t + frame) * c + group * channels;
                            y.copy_from_slice(&x[from..][..channels]);
                        } else {
                            y.fill(0.0);
                        }
                    }
                }
            });
        });
        Ok(y)
    }

    /// Adds the gradient of some outputs to that of x.
    pub(crate) fn fold(self, d_y: &Tensor, some: &Range<usize>, d_x: &Tensor) -> Result<()> {
        if let Some(gpu) = d_y.gpu() {
            return elementwise(&FOLD, d_x.len())
                .words(&self.words(some))
                .run(gpu, &[Some(d_y), Some(d_x)]);
        }
        let folded = Folded { of: self, d_y: &d_y.cpu(), some };
        d_x.cpu_mut(|d_x| rows(&folded, [self.dims[2]], [d_x], 2 * self.width()));
        Ok(())
    }
}

struct Folded<'a> {
    of: Unfold,
    d_y: &'a [f32],
    some: &'a Range<usize>,
}

impl Rows<1> for Folded<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, _: S, frame: usize, [d_x]: [&mut [f32]; 1]) {
        let Unfold { window, dims: [_, t, c], groups } = self.of;
        let (steps, channels) = (self.of.steps(), c / groups);
        for tap in 0..window.size {
            let Some(output) = window.output(frame % t, tap, steps) else { continue };
            let row = frame / t * steps + output;
            if !self.some.contains(&row) {
                continue;
            }
            let d_y = &self.d_y[(row - self.some.start) * window.size * c..];
            for (group, d_x) in d_x.chunks_exact_mut(channels).enumerate() {
                let d_y = &d_y[(group * window.size + tap) * channels..][..channels];
                d_x.iter_mut().zip(d_y).for_each(|(d_x, d)| *d_x += d);
            }
        }
    }
}
