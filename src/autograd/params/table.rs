//! A table of which a step touches a few rows.

use crate::ops::frames::embedding::{self, Places};
use crate::ops::optim::drawn::RowGradient;
use crate::tensor::Tensor;
use crate::{Device, Result};

/// A parameter that lies by itself, since a step touches a few of its rows.
pub(super) struct Table {
    /// The elements of a row.
    pub(super) size: usize,
    /// First values that are not on the device yet.
    pub(super) pending: Vec<f32>,
    pub(super) value: Option<Tensor>,
    /// Since the last step: one for each time that it was used.
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

    /// The gradient of all rows drawn since the last step, as one.
    pub(super) fn gradient(&self) -> Result<Option<RowGradient>> {
        let [first, others @ ..] = &self.gradients[..] else { return Ok(None) };
        if others.is_empty() {
            return Ok(Some(first.clone()));
        }
        // As if each row of each were a token.
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
