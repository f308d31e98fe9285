//! A loss with the penalties of the layers' regularizers.

use super::{Tape, Var};
use crate::Result;
use crate::check::Check;
use crate::ops::elementwise::add;
use crate::ops::optim::regularizer;

impl Tape {
    /// The loss plus the penalties of the layers' regularizers: those on parameters, and those on the outputs
    /// of layers that ran on this tape. Call it once a tape, before [`Tape::backward`]; [`crate::Sequential`]
    /// does so itself.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, loss, nn::{Dense, Params, Regularizer}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let layer = Dense::new(1).kernel_regularizer(Regularizer::l2(1e-3)).build(&params, 2)?;
    /// let tape = Tape::new(&params);
    /// let y = layer.forward(&tape, &Tensor::zeros([4, 2], &device)?.into())?;
    /// let loss = loss::mean_squared_error(&tape, &y, &Tensor::zeros([4, 1], &device)?, None)?;
    /// let loss = tape.regularized(&loss)?;
    /// tape.backward(&loss)?;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Shape`] and [`crate::Error::DType`] if `loss` is not one number, and those of the
    /// device.
    pub fn regularized(&self, loss: &Var) -> Result<Var> {
        Check::new("Tape::regularized", "a loss is one number").number("loss", loss.tensor())?;
        let mut terms = vec![loss.clone()];
        for (id, len, factors) in self.params().penalties() {
            let (value, gradient) = self.parameter(id, &[len])?;
            let y = regularizer::penalty(&value, factors)?;
            terms.push(self.push_one(y, true, move |d_loss, _| {
                regularizer::backward(&value, factors, d_loss, &gradient, true)
            }));
        }
        terms.extend(self.penalties());
        if terms.len() == 1 {
            return Ok(loss.clone());
        }
        let mut sum = terms[0].tensor().clone();
        for term in &terms[1..] {
            sum = add::add(&sum, term.tensor())?;
        }
        let ids: Vec<_> = terms.iter().map(|term| self.id(term)).collect();
        let wanted = ids.iter().any(Option::is_some);
        Ok(self.push_one(sum, wanted, move |d_loss, gradients| {
            ids.into_iter().try_for_each(|id| gradients.add(id, d_loss.clone()))
        }))
    }
}
