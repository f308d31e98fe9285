//! A second set of values beside the parameters: their averages.

use super::{ParamId, Params};
use crate::ops::elementwise::copy::copy;
use crate::ops::optim::average::average;
use crate::tensor::Tensor;
use crate::{Device, Result};
use std::mem::swap;

/// As many values as there are parameters, on their device. Clones are the same values.
#[derive(Debug, Clone)]
pub(crate) struct Shadow {
    /// The generation of the parameters.
    generation: u64,
    all: Tensor,
    tables: Vec<Tensor>,
}

const WHAT: &str = "averages of parameters";

fn copied(from: &Tensor, device: &Device) -> Result<Tensor> {
    let to = Tensor::large_zeros(from.shape(), WHAT, device)?;
    copy(from, &to)?;
    Ok(to)
}

impl Params {
    /// The values of all tables.
    fn table_values(&self) -> Result<Vec<Tensor>> {
        let ids: Vec<_> = {
            let inner = self.lock();
            let specs = inner.specs.iter().enumerate().filter(|(_, spec)| spec.table.is_some());
            let id = |index, serial| ParamId { params: inner.number, index, serial };
            specs.map(|(index, spec)| id(index, spec.serial)).collect()
        };
        ids.into_iter().map(|id| self.table(id)).collect()
    }

    /// A copy of all values.
    pub(crate) fn shadow(&self) -> Result<Shadow> {
        let (value, device) = (self.arena()?.value, self.device());
        let tables = self.table_values()?;
        let tables = tables.iter().map(|table| copied(table, &device));
        let (all, tables) = (copied(&value, &device)?, tables.collect::<Result<_>>()?);
        Ok(Shadow { generation: self.generation(), all, tables })
    }

    /// Whether a shadow is of these parameters, with no layer built since.
    pub(crate) fn has_shadow(&self, shadow: &Shadow) -> bool {
        // Layers that are built wait for the buffers to grow.
        self.arena().is_ok() && self.generation() == shadow.generation
    }

    /// Moves a shadow by a share of the way to the parameters.
    pub(crate) fn average_into(&self, shadow: &Shadow, share: f32) -> Result<()> {
        average(&self.arena()?.value, &shadow.all, share)?;
        let tables = self.table_values()?;
        tables.iter().zip(&shadow.tables).try_for_each(|(x, mean)| average(x, mean, share))
    }

    /// Exchanges the parameters and a shadow of theirs. Nothing is copied.
    pub(crate) fn exchange(&self, shadow: &mut Shadow) -> Result<()> {
        self.table_values()?;
        let mut inner = self.lock();
        inner.arena()?;
        inner.half = None;
        inner.version += 1;
        if let Some(arena) = &mut inner.arena {
            swap(&mut arena.value, &mut shadow.all);
        }
        let values = inner.tables().filter_map(|table| table.value.as_mut());
        values.zip(&mut shadow.tables).for_each(|(value, other)| swap(value, other));
        Ok(())
    }
}
