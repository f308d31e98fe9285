//! Parameters of layers of the user's own, and steps of optimizers of the user's own.

use super::{Layout, ParamId, Params, all_gradients};
use crate::device::Backend;
use crate::ops::optim::loss_scale;
use crate::tensor::count;
use crate::{Error, Result, Tensor};

impl Params {
    /// Inserts a parameter of a layer of your own, with its first values. [`crate::Tape::param`] gives its
    /// value to the layer's `forward`; [`Params::get`], [`Params::set`], the optimizers and a model's
    /// summary treat it like any other.
    ///
    /// `name` is a prefix of the layer, from [`Params::free_prefix`], and the parameter's own name:
    /// `scale.factor`.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, nn::{Params, multiply}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let factor = params.insert(format!("{}.factor", params.free_prefix("scale")), [3], &[2.0; 3])?;
    /// let tape = Tape::new(&params);
    /// // A factor for each feature, of two rows.
    /// let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &device)?;
    /// let y = multiply(&tape, &x.into(), &tape.param(factor)?)?;
    /// assert_eq!(y.tensor().to_vec()?, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    /// tape.backward_from(&[(&y, Tensor::from_slice(&[1.0; 6], [2, 3], &device)?)])?;
    /// assert_eq!(params.gradient("scale.factor")?, [5.0, 7.0, 9.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer values than the shape holds, [`Error::Empty`] for a
    /// shape that holds none, [`Error::Option`] for a name that there is already, [`Error::TooLarge`],
    /// [`Error::OutOfMemory`].
    pub fn insert(
        &self,
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        values: &[f32],
    ) -> Result<ParamId> {
        const OP: &str = "Params::insert";
        let (name, shape) = (name.into(), shape.into());
        let (expected, found) = (count(&shape), values.len());
        if expected != found {
            return Err(Error::Count { op: OP, shape, expected, found });
        }
        if expected == 0 {
            return Err(Error::Empty { op: OP, arg: "values", axes: "[..]", found: shape });
        }
        if name.is_empty() || self.names().contains(&name) {
            let expected = "a name, which no other parameter has".into();
            return Err(Error::Option { option: "Params::name", found: name, expected });
        }
        self.add(name, shape, Layout::Plain, values)
    }

    /// Whether a parameter belongs to this set. A layer that is built already keeps its parameters.
    pub fn owns(&self, id: ParamId) -> bool {
        self.lock().spec(id).is_some()
    }

    /// The last parameter with this shape of a layer of this kind, and whether it lies in the buffer of all.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for one that cannot be bound as a whole.
    pub(crate) fn last_of(&self, kind: &str, shape: &[usize]) -> Result<Option<(ParamId, bool)>> {
        let inner = self.lock();
        let fits = |name: &str| name.split(['.', '_']).next() == Some(kind);
        let found = inner.specs.iter().rposition(|s| s.shape == shape && fits(&s.name));
        let Some((index, spec)) = found.map(|index| (index, &inner.specs[index])) else {
            return Ok(None);
        };
        if let Backend::Gpu(gpu) = &inner.device.0 {
            let (bytes, limit) = (4 * spec.len as u64, gpu.max_binding());
            if bytes > limit {
                return Err(Error::TooLarge { what: "one weight of a layer", bytes, limit });
            }
        }
        let id = ParamId { params: inner.number, index, serial: spec.serial };
        Ok(Some((id, spec.in_arena())))
    }

    pub(crate) fn shape_of(&self, id: ParamId) -> Result<Vec<usize>> {
        Ok(self.lock().known(id)?.shape.clone())
    }

    /// Makes a step of an optimizer of your own, on the host: `change` gets the name of each parameter, its
    /// values and their gradient, both in PyTorch's layout, and updates the values. The gradients are zero
    /// afterwards, and the limits of norms are applied: see [`Params::constrain`]. Frozen parameters are left
    /// out; other factors of a [`super::Group`] are the optimizer's own to apply.
    ///
    /// In mixed precision a step whose gradients are not finite is skipped, as the optimizers of this crate
    /// do: `change` is not called, and the loss scale is reduced. Returns whether the step was made.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] without parameters, and those of [`Params::get`] and [`Params::set`]. After an
    /// error of the device some parameters may have moved, and the gradients are still there.
    ///
    /// # Cost
    /// All values and gradients are read back from a GPU, parameter by parameter, and the values written back.
    pub fn update(&self, mut change: impl FnMut(&str, &mut [f32], &[f32])) -> Result<bool> {
        let arena = self.arena()?;
        let grouped = self.grouped()?;
        let frozen = |index| grouped.as_ref().is_some_and(|grouped| grouped.is_frozen(index));
        let names = self.names().into_iter().enumerate();
        let names: Vec<_> = names.filter(|(i, _)| !frozen(*i)).map(|(_, name)| name).collect();
        let gradients = names.iter().map(|name| self.gradient(name)).collect::<Result<Vec<_>>>()?;
        let drawn = self.drawn_rows()?;
        let all = all_gradients(&drawn, &arena.grad);
        let made = match (self.loss_scaling()?, self.guard()) {
            (Some(state), _) => {
                let made = Tensor::zeros([1], &self.device())?;
                loss_scale::settle(&all, &state, &made)?;
                Some(made)
            }
            (None, Some(guard)) => Some(guard.step(&all, [0.0; 3])?),
            (None, None) => None,
        };
        // Both have 0 there if no step is to be made.
        if made.map(|made| made.to_vec()).transpose()?.is_some_and(|made| made[0] == 0.0) {
            self.zero_gradients()?;
            return Ok(false);
        }
        let mut values = names.iter().map(|name| self.get(name)).collect::<Result<Vec<_>>>()?;
        for ((name, values), gradient) in names.iter().zip(&mut values).zip(&gradients) {
            change(name, values, gradient);
        }
        for (name, values) in names.iter().zip(&values) {
            self.set(name, values)?;
        }
        self.zero_gradients()?;
        self.constrain()?;
        Ok(true)
    }
}
