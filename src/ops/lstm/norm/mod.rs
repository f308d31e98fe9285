//! A layer-normalised LSTM over whole sequences (Ba et al. 2016, arXiv 1607.06450), from the
//! normalised input projection on.

mod cpu;
pub(crate) mod gpu;

use super::Columns;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::sums::column_sum::column_sum;
use crate::{Lengths, Result, Tensor};

/// What is computed, and of what.
#[derive(Clone)]
pub(crate) struct Call {
    /// `[B,T,H,4]`, the normalised input projection with its bias. Taken: it becomes the gates.
    pub(crate) gates: Tensor,
    /// `[H,H,4]`.
    pub(crate) weight_hh: Tensor,
    /// `[6H]`: the gains of R h (four a unit) and of c, and the shifts of c.
    pub(crate) norms: Tensor,
    pub(crate) lengths: Option<Lengths>,
    pub(crate) reverse: bool,
    pub(crate) epsilon: f32,
}

/// What the backward pass needs.
pub(crate) struct Saved {
    call: Call,
    steps: Steps,
}

/// What is saved of every step, as each device has it.
enum Steps {
    /// R h `[B,T,H,4]`; h and c before, and the means and scales, `[B,T,2H+4]`.
    Gpu {
        z: Tensor,
        before: Tensor,
    },
    Cpu(cpu::Steps),
}

/// What the backward pass gives.
pub(crate) struct Gradients {
    /// `[B,T,H,4]`, of the input projection.
    pub(crate) gates: Tensor,
    /// `[6H]`.
    pub(crate) norms: Tensor,
    /// `[B,H]`, of the first state.
    pub(crate) h: Tensor,
    pub(crate) c: Tensor,
}

impl Call {
    fn sizes(&self) -> [usize; 3] {
        let shape = self.gates.shape();
        [shape[0], shape[1], shape[2]]
    }

    fn length(&self, row: usize) -> usize {
        let t = self.gates.shape()[1];
        self.lengths.as_ref().map_or(t, |l| l.values()[row] as usize)
    }

    /// Runs all steps, from `state` `[B,2H]` (h, c), which becomes the last. `y` gets the outputs,
    /// but for what lies past a row's end.
    pub(crate) fn forward(
        self,
        state: &Tensor,
        y: Option<Columns<'_>>,
        save: bool,
    ) -> Result<Option<Saved>> {
        let Some(gpu) = self.gates.gpu() else {
            let steps = self.gates.on_threads(|| self.forward_on_cpu(state, y, save))?;
            return Ok(save.then_some(Saved { call: self, steps: Steps::Cpu(steps) }));
        };
        let [b, t, h] = self.sizes();
        let device = self.gates.device();
        let z = Tensor::empty([b, if save { t } else { 1 }, h, 4], &device)?;
        let before = Tensor::empty([b, if save { t } else { 1 }, 2 * h + 4], &device)?;
        if save && self.lengths.is_some() {
            // A product goes over all frames, with zeros for those past a row's end.
            before.fill(0.0)?;
        }
        gpu::forward(gpu, &self, state, y, &z, save.then_some(&before))?;
        Ok(save.then_some(Saved { call: self, steps: Steps::Gpu { z, before } }))
    }
}

impl Saved {
    /// Differentiates from the gradients of the outputs and of the last state; adds that of R to
    /// `d_weight_hh`.
    pub(crate) fn backward(
        self,
        d_y: Option<Columns<'_>>,
        d_h: Option<&Tensor>,
        d_c: Option<&Tensor>,
        d_weight_hh: &Tensor,
    ) -> Result<Gradients> {
        let [b, t, h] = self.call.sizes();
        let device = self.call.gates.device();
        let sums = Tensor::zeros([b, 8 * h], &device)?;
        for (number, d) in [d_h, d_c].into_iter().enumerate() {
            if let Some(d) = d {
                copy_columns((d, 0), (&sums, number * h), h)?;
            }
        }
        let Self { call, steps } = self;
        match steps {
            Steps::Gpu { z, before } => {
                if let Some(gpu) = z.gpu() {
                    gpu::backward(gpu, &call, d_y, [&z, &before, &sums])?;
                }
                Gemm { m: h, n: 4 * h, k: b * t, bias: None, accumulate: true }.run(
                    Matrix::new(&before, 2 * h + 4).t(),
                    Matrix::new(&z, 4 * h),
                    Matrix::new(d_weight_hh, 4 * h),
                )?;
            }
            Steps::Cpu(steps) => {
                let back = || call.backward_on_cpu(&steps, d_y, &sums, d_weight_hh);
                call.gates.on_threads(back)?;
            }
        }
        let all = Tensor::zeros([1, 8 * h], &device)?;
        column_sum(&sums, &all)?;
        let norms = Tensor::empty([1, 6 * h], &device)?;
        copy_columns((&all, 2 * h), (&norms, 0), 6 * h)?;
        let state = |number: usize| -> Result<Tensor> {
            let d = Tensor::empty([b, h], &device)?;
            copy_columns((&sums, number * h), (&d, 0), h)?;
            Ok(d)
        };
        Ok(Gradients {
            norms: norms.reshape([6 * h])?,
            h: state(0)?,
            c: state(1)?,
            gates: call.gates,
        })
    }
}
