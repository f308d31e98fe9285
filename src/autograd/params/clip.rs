//! Limits of gradients, between the backward pass and an optimizer's step.

use super::store::Spec;
use super::{Layout, Params, all_gradients};
use crate::check::check_positive;
use crate::ops::frames::embedding;
use crate::ops::optim::{clip, norm};
use crate::{Result, Tensor};

/// A limit of gradients, against steps that go too far: [`crate::train::Fit::clip`],
/// [`Params::clip_gradients`].
///
/// The limit is meant for the gradients as they are without the loss scale of mixed precision. What is no
/// number stays none: if a norm is infinite or NaN, the gradients that it is of stay as they are, so that the
/// loss scale sees them and leaves the step out.
///
/// ```
/// use wgpu_lstm::prelude::*;
/// let fit = Fit::new().epochs(10).clip(Clip::GlobalNorm(1.0));
/// # let _ = fit;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Clip {
    /// Each element is limited to this size: PyTorch's `clip_grad_value_`, Keras' `clipvalue`.
    Value(f32),
    /// The gradient of each parameter is scaled down to at most this norm: Keras' `clipnorm`. Of an
    /// [`crate::nn::Embedding::sparse`] table it is the norm over the rows drawn.
    Norm(f32),
    /// All gradients together are scaled down to at most this norm, by one factor: PyTorch's
    /// `clip_grad_norm_` (without the 1e-6 that it adds to the norm), Keras' `global_clipnorm`; Pascanu et
    /// al. 2013, arXiv 1211.5063.
    GlobalNorm(f32),
    /// The gradient of each unit is scaled down to at most this share of the norm of its weights, which
    /// counts as at least 0.001: adaptive clipping (Brock et al. 2021, arXiv 2102.06171), for example with
    /// 0.01.
    ///
    /// A unit is an index of the first axis that [`Params::shape`] tells: of `lstm.weight_hh_l0` `[4H, H]`
    /// each gate of each unit of the layer by itself, of `dense.weight` `[O, I]` an output, of
    /// `embedding.weight` a token. A parameter of one axis, such as a bias, is one unit. The authors leave
    /// the last layer alone, which this does not.
    Adaptive(f32),
}

impl Clip {
    /// Checks that the limit is a finite number above 0.
    pub(crate) fn check(self) -> Result<()> {
        let (Self::Value(limit)
        | Self::Norm(limit)
        | Self::GlobalNorm(limit)
        | Self::Adaptive(limit)) = self;
        check_positive("Clip", limit)
    }
}

/// How the units of a parameter lie in memory: see [`Clip::Adaptive`].
fn units(spec: &Spec) -> clip::Units {
    match (spec.shape.as_slice(), spec.layout) {
        ([] | [_], _) | (_, Layout::Peepholes { .. }) => clip::Units::Rows(1),
        ([first, ..], Layout::Plain) => clip::Units::Rows(*first),
        (_, Layout::Transposed { columns, .. }) => clip::Units::Columns(columns),
        (_, Layout::Gates { hidden_size, .. }) => clip::Units::Columns(4 * hidden_size),
        // A channel of each group is one unit.
        (_, Layout::Conv { outputs, .. }) => clip::Units::Columns(outputs),
    }
}

impl Params {
    /// Limits the gradients, between [`crate::Tape::backward`] and an optimizer's step. Nothing is read
    /// back.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, loss};
    /// use wgpu_lstm::nn::{Dense, Params};
    /// use wgpu_lstm::train::{Clip, Sgd};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let layer = Dense::new(1).build(&params, 2)?;
    /// let x = Tensor::from_slice(&[30.0, 40.0], [1, 2], &device)?;
    /// let tape = Tape::new(&params);
    /// let y = layer.forward(&tape, &x.into())?;
    /// let loss = loss::mean_squared_error(&tape, &y, &Tensor::zeros([1, 1], &device)?, None)?;
    /// tape.backward(&loss)?;
    /// params.clip_gradients(Clip::GlobalNorm(1.0))?;
    /// assert!(params.gradient_norm()? < 1.0 + 1e-6);
    /// Sgd::new(0.1).step(&params)?;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a limit that is not a finite number above 0,
    /// [`crate::Error::NotBuilt`] without parameters, and those of the device.
    ///
    /// # Cost
    /// By value one dispatch over all parameters; by the norm of all of them two; by the norm of each
    /// parameter two for each, adaptive one for each. A table with rows drawn counts as a parameter of its
    /// own each time. They read the gradients once or twice (the weights, too, if adaptive), and write
    /// them where they exceed the limit.
    pub fn clip_gradients(&self, clip: Clip) -> Result<()> {
        clip.check()?;
        let arena = self.arena()?;
        let drawn = self.drawn_rows()?;
        let scaling = self.loss_scaling()?;
        let scaling = scaling.as_ref();
        // The parameters outside of tables: value, gradient and units of each.
        let each = || {
            let inner = self.lock();
            let specs = inner.specs.iter().filter(|spec| spec.table.is_none());
            let views = specs.map(|spec| {
                let view = |tensor: &Tensor| tensor.view(spec.offset, [spec.len]);
                (view(&arena.value), view(&arena.grad), units(spec))
            });
            views.collect::<Vec<_>>()
        };
        match clip {
            Clip::Value(limit) => {
                let mut all = all_gradients(&drawn, &arena.grad).into_iter();
                all.try_for_each(|g| clip::value(g, limit, scaling))
            }
            Clip::GlobalNorm(limit) => {
                norm::clip(&all_gradients(&drawn, &arena.grad), limit, scaling)
            }
            Clip::Norm(limit) => {
                each().iter().try_for_each(|(_, g, _)| norm::clip(&[g], limit, scaling))?;
                drawn.iter().try_for_each(|(.., g)| norm::clip(&[&g.values], limit, scaling))
            }
            Clip::Adaptive(limit) => {
                for (w, g, units) in each() {
                    clip::units([&w, &g], units, limit, scaling)?;
                }
                drawn.iter().try_for_each(|(_, table, rows)| {
                    let count = rows.rows.len();
                    let (ids, size) = (rows.upload(&self.device())?, rows.values.len() / count);
                    let w = embedding::embedding(&ids, table, [table.len() / size, size])?;
                    clip::units([&w, &rows.values], clip::Units::Rows(count), limit, scaling)
                })
            }
        }
    }

    /// The norm of all gradients together, as [`Clip::GlobalNorm`] has it: infinite or NaN if one of them is.
    /// Waits for the device, so that a training which asks for it at each step is slower.
    ///
    /// # Errors
    /// [`crate::Error::NotBuilt`] without parameters, and those of [`Tensor::to_vec`].
    pub fn gradient_norm(&self) -> Result<f32> {
        let arena = self.arena()?;
        let drawn = self.drawn_rows()?;
        let norm = norm::norm(&all_gradients(&drawn, &arena.grad))?;
        Ok((norm / f64::from(self.loss_scale()?)) as f32)
    }
}
