//! Ops and parameters of the user's own on a tape.

#[cfg(doc)]
use super::Params;
use super::{ParamId, Tape, Var};
use crate::check::Check;
use crate::ops::elementwise::add_into::add_into;
use crate::{DType, Result, Tensor};
use std::any::type_name;

impl Tape {
    /// Records an op of your own: its outputs, and how to differentiate it.
    ///
    /// `inputs` are the values that gradients flow to. `backward` gets the gradient of each output,
    /// zeros where none came, and gives the gradient of each input, in the input's shape and on its
    /// device; it runs at most once, in [`Tape::backward`], and not at all if no gradient is wanted. In
    /// mixed precision the gradients are multiplied by [`Params::loss_scale`], and it must not change
    /// parameters, nor build layers with them. The outputs have
    /// neither lengths nor a mask: copy those of the inputs by [`Var::with_lengths`] and
    /// [`Var::with_mask`].
    ///
    /// An op can compute by existing layers, for example on [`Tape::inference`], or on the host, which waits
    /// for a GPU. Adding, multiplying and joining values needs no op: see [`crate::nn::add`],
    /// [`crate::nn::multiply`] and [`crate::nn::concat`].
    ///
    /// ```
    /// use wgpu_lstm::{Device, Result, Tape, Tensor, Var, nn::Params};
    ///
    /// /// x³.
    /// fn cube(tape: &Tape, x: &Var) -> Result<Var> {
    ///     let values = x.tensor().to_vec()?;
    ///     let y: Vec<f32> = values.iter().map(|v| v * v * v).collect();
    ///     let y = Tensor::from_slice(&y, x.shape(), &x.tensor().device())?;
    ///     let [y] = tape.custom([y], [x], move |[d_y]| {
    ///         let pairs = values.iter().zip(d_y.to_vec()?);
    ///         let d_x: Vec<f32> = pairs.map(|(v, d)| 3.0 * v * v * d).collect();
    ///         Ok([Tensor::from_slice(&d_x, d_y.shape(), &d_y.device())?])
    ///     });
    ///     Ok(y.with_lengths(x.lengths().cloned()).with_mask(x.mask().cloned()))
    /// }
    ///
    /// let device = Device::auto()?;
    /// let tape = Tape::new(&Params::new(&device));
    /// let x = tape.input(Tensor::from_slice(&[2.0], [1], &device)?);
    /// let y = cube(&tape, &x)?;
    /// assert_eq!(y.tensor().to_vec()?, [8.0]);
    /// let gradients = tape.backward(&y)?;
    /// assert_eq!(gradients.get(&x).unwrap().to_vec()?, [12.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// None here; [`Tape::backward`] gives those of `backward`, and [`crate::Error::Shape`],
    /// [`crate::Error::DType`] or [`crate::Error::OtherDevice`] for a gradient that is not like its
    /// input.
    pub fn custom<const OUT: usize, const IN: usize, F>(
        &self,
        outputs: [Tensor; OUT],
        inputs: [&Var; IN],
        backward: F,
    ) -> [Var; OUT]
    where
        F: FnOnce([Tensor; OUT]) -> Result<[Tensor; IN]> + Send + 'static,
    {
        let ids = inputs.map(|input| self.id(input));
        let like = inputs.map(|input| (input.shape().to_vec(), input.tensor().device()));
        // Only shape and device, so that the tensors are freed if the op does not need them.
        let outside = outputs.each_ref().map(|output| (output.shape().to_vec(), output.device()));
        let run = move |d_outputs: &[Option<Tensor>], gradients: &mut super::Gradients| {
            let mut d = Vec::with_capacity(OUT);
            for (d_output, (shape, device)) in d_outputs.iter().zip(&outside) {
                d.push(match d_output {
                    Some(d_output) => d_output.clone(),
                    None => Tensor::zeros(shape.clone(), device)?,
                });
            }
            let Ok(d) = <[Tensor; OUT]>::try_from(d) else { return Ok(()) };
            let check = Check::new("Tape::custom", "a gradient is like its input");
            for ((id, (shape, device)), d_input) in ids.into_iter().zip(like).zip(backward(d)?) {
                check.dtype("gradient", &d_input, DType::F32)?;
                check.shape("gradient", &d_input, "the input's shape", &shape)?;
                check.lies_on(&device, "gradient", &d_input)?;
                gradients.add(id, d_input)?;
            }
            Ok(())
        };
        let wanted = ids.iter().any(Option::is_some);
        let mut vars = self.push_op(type_name::<F>(), outputs.to_vec(), wanted, run).into_iter();
        outputs.map(|output| vars.next().unwrap_or_else(|| Var::constant(output)))
    }

    /// The value of a parameter of a layer of your own: see [`super::Params::insert`]. Its gradient is added
    /// to [`super::Params::gradient`], for the optimizers.
    ///
    /// # Errors
    /// [`crate::Error::NotBuilt`] for one that is not of this tape's parameters.
    pub fn param(&self, id: ParamId) -> Result<Var> {
        let shape = self.params().shape_of(id)?;
        let (value, gradient) = self.parameter(id, &shape)?;
        Ok(self.push_one(value, true, move |d_value, _| add_into(d_value, &gradient)))
    }
}
