//! One frame of the frames under each window, and the gradient.

use super::Window;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::lengths::Counted;
use crate::ops::common::vector::{Rows, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, STEPS, elementwise, product};
use crate::{Error, Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pool1d",
    parts: &[INDEX, STEPS, IS_NAN, LONG_SUM, ELEMENTWISE, wgsl!("conv/pool1d.wgsl")],
    bindings: &[("x", Read), ("steps", Read), ("y", Write), ("found", Write)],
    variants,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pool1d_bwd",
    parts: &[INDEX, STEPS, ELEMENTWISE, wgsl!("conv/pool1d_bwd.wgsl")],
    bindings: &[("d_y", Read), ("steps", Read), ("found", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    let kinds = [0, 1, 2].map(|kind| vec![("KIND", kind)]);
    product([0, 1, 2].map(|steps| vec![("STEPS", steps)]).to_vec(), &kinds)
}

/// What is made of the frames under a window; the number is the kernels' `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The mean of the frames that are there.
    Mean = 0,
    /// The mean with zeros for padding.
    MeanWithPadding = 1,
    /// The largest of the frames that are there.
    Max = 2,
}

/// A pool of `[B,T,C]` to `[B,steps,C]`, of the frames that count.
#[derive(Debug, Clone)]
pub(crate) struct Pool1d {
    pub(crate) kind: Kind,
    pub(crate) window: Window,
    /// `[B,T,C]` of x.
    pub(crate) dims: [usize; 3],
    pub(crate) steps: Counted,
}

/// As [`Pool1d::forward`], where all frames count, and without what a backward pass needs.
#[cfg(test)]
pub(crate) fn pool1d(kind: Kind, x: &Tensor, window: Window) -> Result<Tensor> {
    let dims = crate::check::Check::new("pool1d", "").dims("x", x, "[B,T,C]")?;
    Ok(Pool1d { kind, window, dims, steps: Counted::All }.forward(x)?.0)
}

impl Pool1d {
    fn words(&self) -> [u32; 7] {
        let [size, stride, dilation, before] = self.window.words();
        let [_, t, c] = self.dims.map(|size| size as u32);
        [size, stride, dilation, before, t, c, self.outputs() as u32]
    }

    fn outputs(&self) -> usize {
        self.window.steps(self.dims[1])
    }

    /// `x` to `[B,steps,C]`; and what the backward pass needs.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let [b, _, c] = self.dims;
        let shape = [b, self.outputs(), c];
        if shape[1] == 0 {
            let (axes, found) = ("the timesteps left by the window", x.shape().to_vec());
            return Err(Error::Empty { op: "pool1d", arg: "x", axes, found });
        }
        let y = Tensor::empty(shape, &x.device())?;
        let found = Tensor::empty(shape, &x.device())?;
        if let Some(gpu) = x.gpu() {
            elementwise(&FORWARD, y.len())
                .constants(&[("STEPS", self.steps.code()), ("KIND", self.kind as u32)])
                .words(&self.words())
                .run(gpu, &[Some(x), self.steps.tensor(), Some(&y), Some(&found)])?;
            return Ok((y, found));
        }
        let pooled = Pooled { of: self, x: &x.cpu() };
        y.cpu_mut(|y| {
            found.cpu_mut(|found| rows(&pooled, [c, c], [y, found], self.window.size * c));
        });
        Ok((y, found))
    }

    /// The gradient of `x`.
    pub(crate) fn backward(&self, d_y: &Tensor, found: &Tensor) -> Result<Tensor> {
        let d_x = Tensor::empty(self.dims, &d_y.device())?;
        if let Some(gpu) = d_y.gpu() {
            elementwise(&BACKWARD, d_x.len())
                .constants(&[("STEPS", self.steps.code()), ("KIND", self.kind as u32)])
                .words(&self.words())
                .run(gpu, &[Some(d_y), self.steps.tensor(), Some(found), Some(&d_x)])?;
            return Ok(d_x);
        }
        let shared = Shared { of: self, d_y: &d_y.cpu(), found: &found.cpu() };
        let c = self.dims[2];
        d_x.cpu_mut(|d_x| rows(&shared, [c], [d_x], self.window.size * c));
        Ok(d_x)
    }
}

struct Pooled<'a> {
    of: &'a Pool1d,
    x: &'a [f32],
}

/// The columns that are summed up at a time.
const COLUMNS: usize = 256;

impl Rows<2> for Pooled<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, _: S, place: usize, [y, found]: [&mut [f32]; 2]) {
        let Pool1d { kind, window, dims: [_, t, c], ref steps } = *self.of;
        let (row, output) = (place / self.of.outputs(), place % self.of.outputs());
        let taps = window.taps(output, t);
        let frames = taps.map(|tap| {
            let at = output * window.stride + tap * window.dilation - window.before;
            (tap, at, &self.x[(row * t + at) * c..][..c])
        });
        let frames = frames.filter(|&(_, at, _)| steps.counts(row, at));
        if kind == Kind::Max {
            y.fill(0.0);
            found.fill(window.size as f32);
            for (number, (tap, _, x)) in frames.enumerate() {
                for ((y, found), &x) in y.iter_mut().zip(found.iter_mut()).zip(x) {
                    // A NaN stays, since nothing is larger.
                    if number == 0 || x > *y || x.is_nan() {
                        (*y, *found) = (x, tap as f32);
                    }
                }
            }
            return;
        }
        let mut count = 0;
        for (block, y) in y.chunks_mut(COLUMNS).enumerate() {
            let mut sums = [0.0f64; COLUMNS];
            count = 0;
            for (_, _, x) in frames.clone() {
                let x = &x[block * COLUMNS..][..y.len()];
                sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x));
                count += 1;
            }
            if kind == Kind::MeanWithPadding {
                count = window.size;
            }
            let over = count.max(1) as f64;
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (sum / over) as f32);
        }
        found.fill(count.max(1) as f32);
    }
}

struct Shared<'a> {
    of: &'a Pool1d,
    d_y: &'a [f32],
    found: &'a [f32],
}

impl Rows<1> for Shared<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, _: S, frame: usize, [d_x]: [&mut [f32]; 1]) {
        let Pool1d { kind, window, dims: [_, t, c], ref steps } = *self.of;
        let (row, at, outputs) = (frame / t, frame % t, self.of.outputs());
        d_x.fill(0.0);
        if !steps.counts(row, at) {
            return;
        }
        for tap in 0..window.size {
            let Some(output) = window.output(at, tap, outputs) else { continue };
            let place = (row * outputs + output) * c;
            let (d_y, found) = (&self.d_y[place..][..c], &self.found[place..][..c]);
            for ((d_x, &d), &found) in d_x.iter_mut().zip(d_y).zip(found) {
                *d_x += match kind {
                    Kind::Max if found == tap as f32 => d,
                    Kind::Max => 0.0,
                    Kind::Mean | Kind::MeanWithPadding => d / found,
                };
            }
        }
    }
}
