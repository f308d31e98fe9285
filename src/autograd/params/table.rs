//! Sparse tables, of which a training step touches a few rows.

use super::{Layout, OTHER_PARAMS, ParamId, Params};
use crate::ops::frames::embedding::{self, Places};
use crate::ops::optim::drawn::RowGradient;
use crate::tensor::Tensor;
use crate::{Device, Result};

/// A parameter with buffers of its own, since a training step touches a few of its rows.
pub(super) struct Table {
    /// The number of elements of a row.
    pub(super) size: usize,
    /// The first values, until they are on the device.
    pub(super) pending: Vec<f32>,
    pub(super) value: Option<Tensor>,
    /// The gradients since the last step, one for each use of the table.
    pub(super) gradients: Vec<RowGradient>,
}

impl Table {
    pub(super) fn value(&mut self, device: &Device) -> Result<Tensor> {
        let value = match &self.value {
            Some(value) => value.clone(),
            None => {
                let shape = [self.pending.len() / self.size, self.size];
                Tensor::large_from_slice(&self.pending, shape, "the table of an Embedding", device)?
            }
        };
        self.pending = Vec::new();
        self.value = Some(value.clone());
        Ok(value)
    }

    /// The sum of the gradients since the last step, over all rows drawn.
    pub(super) fn gradient(&self) -> Result<Option<RowGradient>> {
        let [first, others @ ..] = &self.gradients[..] else { return Ok(None) };
        if others.is_empty() {
            return Ok(Some(first.clone()));
        }
        // Added up as if each row of each gradient were a token.
        let rows: usize = self.gradients.iter().map(|g| g.rows.len()).sum();
        let all = Tensor::empty([rows, self.size], &first.values.device())?;
        let mut at = 0;
        for gradient in &self.gradients {
            let n = gradient.values.len();
            crate::ops::frames::copy_columns::copy_columns(
                (&gradient.values.reshape([1, n])?, 0),
                (&all.reshape([1, rows * self.size])?, at),
                n,
            )?;
            at += n;
        }
        let drawn = self.gradients.iter().flat_map(|g| g.rows.iter().copied());
        let places = Places::new((0..).zip(drawn));
        let values = embedding::backward_rows(&places, &all, self.size)?;
        Ok(Some(RowGradient { rows: places.rows().collect(), values }))
    }
}

/// A table of which some rows were drawn since the last step, with their gradient.
pub(crate) type Drawn = (ParamId, Tensor, RowGradient);

/// All gradients of a step: those of drawn rows, then that of all other parameters.
pub(crate) fn all_gradients<'a>(drawn: &'a [Drawn], others: &'a Tensor) -> Vec<&'a Tensor> {
    drawn.iter().map(|(_, _, rows)| &rows.values).chain([others]).collect()
}

impl Params {
    /// Inserts a table `[rows, size]` of which a training step touches a few rows: it has a buffer of its own,
    /// and gradients for the drawn rows alone.
    pub(crate) fn add_table(&self, name: String, size: usize, values: Vec<f32>) -> Result<ParamId> {
        let mut inner = self.lock();
        inner.spend(values.len())?;
        let (offset, len) = (inner.len, values.len());
        let table = Table { size, pending: values, value: None, gradients: Vec::new() };
        Ok(inner.push(name, vec![len / size, size], Layout::Plain, (offset, len), Some(table)))
    }

    /// The values of a table.
    pub(crate) fn table(&self, id: ParamId) -> Result<Tensor> {
        let mut inner = self.lock();
        // Allocates the arena first: a tape that uses the table first then sees the final generation.
        inner.arena()?;
        let device = inner.device.clone();
        inner.known(id)?;
        inner.specs[id.index].table.as_mut().ok_or(OTHER_PARAMS)?.value(&device)
    }

    /// Adds to the gradient of a table.
    pub(crate) fn add_rows(&self, id: ParamId, gradient: RowGradient) {
        let mut inner = self.lock();
        if inner.spec(id).is_some()
            && let Some(table) = &mut inner.specs[id.index].table
        {
            table.gradients.push(gradient);
        }
    }

    /// All tables with rows drawn since the last step, and their gradients.
    pub(crate) fn drawn_rows(&self) -> Result<Vec<Drawn>> {
        let mut inner = self.lock();
        let (device, params) = (inner.device.clone(), inner.number);
        let mut taken = Vec::new();
        for (index, spec) in inner.specs.iter_mut().enumerate() {
            let id = ParamId { params, index, serial: spec.serial };
            let Some(table) = &mut spec.table else { continue };
            if let Some(gradient) = table.gradient()? {
                // The sum in place of its terms: what is clipped is what an optimizer then gets.
                table.gradients = vec![gradient.clone()];
                taken.push((id, table.value(&device)?, gradient));
            }
        }
        Ok(taken)
    }

    /// Clears the gradients of all tables, after a step.
    pub(crate) fn clear_rows(&self) {
        self.lock().tables().for_each(|table| table.gradients.clear());
    }
}
