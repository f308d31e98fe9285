//! The convolution of sequences with kernels, as products.
//!
//! On the CPU, where the frames under a window lie side by side, nothing is copied: the products go over them as
//! they are, and over as many taps as there are frames. Else some outputs at a time are unfolded.

use super::Window;
use super::unfold::Unfold;
use crate::check::Check;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::gemm::cpu::{View, into_rows};
use crate::ops::gemm::{Gemm, Matrix};
use crate::{DType, Error, Result, Tensor};
use std::ops::Range;

/// The words of an unfolded part.
const PART: usize = 1 << 24;

/// A convolution of `[B,T,C]` to `[B,steps,O]`.
///
/// Its weight is `[groups, size * C/groups, O/groups]` in memory: see [`Conv::to_memory`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    pub(crate) window: Window,
    /// `[B,T,C]` of x.
    pub(crate) dims: [usize; 3],
    /// O.
    pub(crate) outputs: usize,
    /// The parts of the channels that do not see each other: each makes its share of the outputs.
    pub(crate) groups: usize,
}

/// A weight `[O, C/groups, size]`, as PyTorch and ONNX have it, as [`conv1d`] takes it:
/// `[groups, size, C/groups, O/groups]`. `sizes` are those four.
pub(crate) fn to_memory(outside: &[f32], memory: &mut [f32], sizes: [usize; 4]) {
    each_weight(sizes, |from, to| memory[to] = outside[from]);
}

/// The opposite of [`to_memory`].
pub(crate) fn to_outside(memory: &[f32], outside: &mut [f32], sizes: [usize; 4]) {
    each_weight(sizes, |to, from| outside[to] = memory[from]);
}

/// Calls `f` with the place outside and in memory of each value.
fn each_weight([groups, size, channels, outputs]: [usize; 4], mut f: impl FnMut(usize, usize)) {
    let mut at = 0;
    for group in 0..groups {
        for tap in 0..size {
            for channel in 0..channels {
                for output in 0..outputs {
                    f(((group * outputs + output) * channels + channel) * size + tap, at);
                    at += 1;
                }
            }
        }
    }
}

/// The convolution of `x` `[B,T,C]` with `weight` `[groups, size * C/groups, O/groups]`, and a bias `[O]` for each
/// output: `[B,steps,O]`.
#[cfg(test)]
pub(crate) fn conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: Window,
) -> Result<Tensor> {
    Conv::new(x, weight, bias, window)?.forward(x, weight, bias)
}

impl Conv {
    /// The sizes of a convolution, which are checked.
    pub(crate) fn new(
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        window: Window,
    ) -> Result<Self> {
        let check = Check::new("conv1d", "a kernel is for some channels, and groups part them");
        check.dtype("x", x, DType::F32)?;
        let dims: [usize; 3] = check.dims("x", x, "[B,T,C]")?;
        let axes = "[groups, size * C/groups, O/groups]";
        let [groups, _, each]: [usize; 3] = check.dims("weight", weight, axes)?;
        let part = window.size * (dims[2] / groups);
        check.shape("weight", weight, axes, &[groups, part, each])?;
        if !dims[2].is_multiple_of(groups) {
            let (expected, found) = (dims[2].next_multiple_of(groups), dims[2]);
            let help = "groups part the channels evenly";
            return Err(Error::Features { op: "conv1d", expected, found, help });
        }
        check.device(x, &[("weight", weight)])?;
        let outputs = groups * each;
        if let Some(bias) = bias {
            check.shape("bias", bias, "[O]", &[outputs])?;
            check.device(x, &[("bias", bias)])?;
        }
        if window.steps(dims[1]) == 0 {
            let axes = "the timesteps left by the window";
            return Err(Error::Empty { op: "conv1d", arg: "x", axes, found: dims.to_vec() });
        }
        Ok(Self { window, dims, outputs, groups })
    }

    fn unfold(self) -> Unfold {
        Unfold { window: self.window, dims: self.dims, groups: self.groups }
    }

    /// The parts of all outputs that are unfolded at a time.
    fn parts(self) -> impl Iterator<Item = Range<usize>> {
        let (all, each) = (self.dims[0] * self.unfold().steps(), PART / self.unfold().width());
        let each = each.max(1);
        (0..all).step_by(each).map(move |first| first..all.min(first + each))
    }

    pub(crate) fn forward(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let steps = self.unfold().steps();
        let y = Tensor::empty([self.dims[0], steps, self.outputs], &x.device())?;
        if x.gpu().is_none() && self.groups == 1 && self.window.dilation == 1 {
            self.in_place(x, weight, bias, &y);
            return Ok(y);
        }
        let (each, columns) = (self.outputs / self.groups, self.unfold().width());
        let terms = columns / self.groups;
        for some in self.parts() {
            let unfolded = self.unfold().unfold(x, &some)?;
            for group in 0..self.groups {
                let first = group * each;
                let bias = bias.map(|bias| self.bias_of(bias, first..first + each)).transpose()?;
                Gemm { m: some.len(), n: each, k: terms, bias: bias.as_ref(), accumulate: false }
                    .run(
                    Matrix::new(&unfolded, columns).skip(group * terms),
                    Matrix::new(weight, each).skip(group * terms * each),
                    Matrix::new(&y, self.outputs).skip(some.start * self.outputs + first),
                )?;
            }
        }
        Ok(y)
    }

    /// Some of the biases: a copy, since a kernel cannot bind from any place on.
    fn bias_of(self, bias: &Tensor, some: Range<usize>) -> Result<Tensor> {
        if some.len() == self.outputs {
            return Ok(bias.clone());
        }
        let part = Tensor::empty([some.len()], &bias.device())?;
        copy_columns((bias, some.start), (&part, 0), some.len())?;
        Ok(part)
    }

    /// On the CPU, without copies: a product for the outputs that see the same taps.
    fn in_place(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, y: &Tensor) {
        let (Self { dims: [b, t, c], outputs, window, .. }, steps) = (self, self.unfold().steps());
        let (x, weight, bias) = (x.cpu(), weight.cpu(), bias.map(Tensor::cpu));
        let bias = bias.as_deref();
        // The outputs that see all taps.
        let whole = |output: &usize| window.taps(*output, t).len() == window.size;
        let first = (0..steps).find(whole).unwrap_or(steps);
        let end = (first..steps).find(|output| !whole(output)).unwrap_or(steps);
        // Those of all sequences at once, unless there are more of each.
        let inner = if end - first > b { first..end } else { 0..0 };
        y.cpu_mut(|y| {
            for output in (0..steps).filter(|output| !inner.contains(output)) {
                let taps = window.taps(output, t);
                let y = (&mut y[output * outputs..], steps * outputs);
                let frame = output * window.stride + taps.start;
                let begin = frame.saturating_sub(window.before) * c;
                let x = View::of(&x[begin.min(x.len())..], t * c, false);
                let weight = View::of(&weight[taps.start * c * outputs..], outputs, false);
                into_rows([b, outputs, taps.len() * c], x, weight, bias, y);
            }
            if inner.is_empty() {
                return;
            }
            let begin = (inner.start * window.stride - window.before) * c;
            let sizes = [inner.len(), outputs, window.size * c];
            for row in 0..b {
                let y = (&mut y[(row * steps + inner.start) * outputs..], outputs);
                let x = View::of(&x[row * t * c + begin..], window.stride * c, false);
                into_rows(sizes, x, View::of(&weight, outputs, false), bias, y);
            }
        });
    }

    /// Adds the gradient of the weight to `d_weight`, and gives that of x, if it is wanted.
    pub(crate) fn backward(
        self,
        x: &Tensor,
        weight: &Tensor,
        d_y: &Tensor,
        d_weight: &Tensor,
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let d_x = wanted.then(|| Tensor::zeros(self.dims, &x.device())).transpose()?;
        let (each, columns) = (self.outputs / self.groups, self.unfold().width());
        let terms = columns / self.groups;
        for some in self.parts() {
            let unfolded = self.unfold().unfold(x, &some)?;
            let d_columns = match wanted {
                true => Some(Tensor::empty([some.len(), columns], &x.device())?),
                false => None,
            };
            for group in 0..self.groups {
                let at = some.start * self.outputs + group * each;
                let mixed = weight.is_half();
                let d_y = Matrix::new(d_y, self.outputs).skip(at).rounded(mixed);
                let place = group * terms * each;
                Gemm { m: terms, n: each, k: some.len(), bias: None, accumulate: true }.run(
                    Matrix::new(&unfolded, columns).skip(group * terms).t().rounded(mixed),
                    d_y,
                    Matrix::new(d_weight, each).skip(place),
                )?;
                let Some(d_columns) = &d_columns else { continue };
                Gemm { m: some.len(), n: terms, k: each, bias: None, accumulate: false }.run(
                    d_y,
                    Matrix::new(weight, each).skip(place).t(),
                    Matrix::new(d_columns, columns).skip(group * terms),
                )?;
            }
            if let (Some(d_x), Some(d_columns)) = (&d_x, d_columns) {
                self.unfold().fold(&d_columns, &some, d_x)?;
            }
        }
        Ok(d_x)
    }
}
