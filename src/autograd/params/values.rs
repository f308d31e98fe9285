//! Values and gradients of parameters on the host, in PyTorch's layout.

use super::quantized::NOT_TRAINED;
use super::store::{Arena, on_host};
use super::table::Table;
use super::{Layout, Params};
use crate::tensor::{Tensor, room_for};
use crate::{Device, Error, Result};

impl Params {
    /// A parameter's values, in PyTorch's layout; of one in 8 bits what these stand for. Waits for the device.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`], and those of [`Tensor::to_vec`].
    pub fn get(&self, name: &str) -> Result<Vec<f32>> {
        if let Some(value) = self.of_table(name, |table, device| table.value(device))? {
            return value.to_vec();
        }
        if let Some(value) = self.quantized_by_name(name) {
            return Ok(value.floats());
        }
        self.read(name, |arena| &arena.value)
    }

    /// Calls `f` on a parameter if it is a table.
    fn of_table<R>(
        &self,
        name: &str,
        f: impl FnOnce(&mut Table, &Device) -> Result<R>,
    ) -> Result<Option<R>> {
        let mut inner = self.lock();
        let id = inner.find(name)?;
        let device = inner.device.clone();
        inner.specs[id.index].table.as_mut().map(|table| f(table, &device)).transpose()
    }

    /// A parameter's gradient, in PyTorch's layout. Waits for the device. In mixed precision it may be
    /// infinite or NaN: the step must then be skipped, as the optimizers of this crate do.
    ///
    /// # Errors
    /// As [`Params::get`]; [`Error::Unsupported`] for one in 8 bits.
    pub fn gradient(&self, name: &str) -> Result<Vec<f32>> {
        if self.quantized_by_name(name).is_some() {
            return Err(NOT_TRAINED);
        }
        let of_rows = self.of_table(name, |table, device| {
            Ok((table.gradient()?, table.value(device)?.len(), table.size))
        })?;
        let mut gradient = match of_rows {
            None => self.read(name, |arena| &arena.grad)?,
            Some((drawn, len, size)) => {
                let mut gradient = room_for("a gradient", len)?;
                gradient.resize(len, 0.0);
                if let Some(drawn) = drawn {
                    let values = drawn.values.to_vec()?;
                    for (&row, values) in drawn.rows.iter().zip(values.chunks_exact(size)) {
                        gradient[row as usize * size..][..size].copy_from_slice(values);
                    }
                }
                gradient
            }
        };
        let scale = self.loss_scale()?;
        gradient.iter_mut().for_each(|g| *g /= scale);
        Ok(gradient)
    }

    fn read(&self, name: &str, which: impl Fn(&Arena) -> &Tensor) -> Result<Vec<f32>> {
        let (tensor, layout, len) = {
            let mut inner = self.lock();
            let id = inner.find(name)?;
            let arena = inner.arena()?;
            let spec = &inner.specs[id.index];
            (which(&arena).view(spec.offset, [spec.len]), spec.layout, spec.outside_len())
        };
        if layout == Layout::Plain {
            return tensor.to_vec();
        }
        let mut outside = vec![0.0; len];
        on_host(&tensor, |words| layout.to_outside(words, &mut outside))?;
        Ok(outside)
    }

    /// Sets a parameter's values, in PyTorch's layout.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`]; [`Error::At`] with the name and an [`Error::Count`] if there are more or fewer
    /// values than the parameter has; [`Error::Unsupported`] for one in 8 bits; [`Error::DeviceLost`].
    pub fn set(&self, name: &str, values: &[f32]) -> Result<()> {
        let mut inner = self.lock();
        let id = inner.find(name)?;
        let spec = &inner.specs[id.index];
        if values.len() != spec.outside_len() {
            let error = Error::Count {
                op: "Params::set",
                shape: spec.shape.clone(),
                expected: spec.outside_len(),
                found: values.len(),
            };
            return Err(error.at(format!("the parameter {name:?}")));
        }
        if spec.quantized.is_some() {
            return Err(NOT_TRAINED);
        }
        let device = inner.device.clone();
        inner.version += 1;
        if let Some(table) = &mut inner.specs[id.index].table {
            return table.value(&device)?.overwrite(values);
        }
        let arena = inner.arena()?;
        inner.half = None;
        inner.specs[id.index].put(&arena.value, values)
    }

    /// Sets all gradients to zero, as each step of an optimizer does.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn zero_gradients(&self) -> Result<()> {
        let mut inner = self.lock();
        inner.tables().for_each(|table| table.gradients.clear());
        let arena = inner.arena()?;
        arena.grad.fill(0.0)
    }
}
