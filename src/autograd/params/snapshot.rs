//! Copies of all values that stay on the device.

use super::store::Store;
use super::{OTHER_PARAMS, Params};
use crate::Result;
use crate::ops::elementwise::copy::copy;
use crate::ops::optim::average::average;
use crate::tensor::Tensor;
use std::mem::swap;

/// A copy of the values of all parameters, on their device, or averages of them. Clones are the same values.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The generation of the parameters that these values belong to.
    generation: u64,
    arena: Tensor,
    tables: Vec<Tensor>,
}

/// What a trial training changes of parameters: their values, the random numbers drawn, the loss scale.
#[derive(Debug)]
pub(crate) struct Held {
    values: Snapshot,
    keys: u64,
    loss_scaling: Option<Tensor>,
}

impl Params {
    /// Copies all values. Nothing is read back.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        let mut inner = self.lock();
        let arena = copied(&inner.arena()?.value)?;
        let tables = tables(&mut inner)?.iter().map(copied).collect::<Result<_>>()?;
        Ok(Snapshot { generation: inner.own_generation(), arena, tables })
    }

    /// Gives all values back that they had at [`Params::snapshot`]. The random numbers go on.
    pub(crate) fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        let mut inner = self.lock();
        let arena = inner.arena()?.value;
        if inner.own_generation() != snapshot.generation {
            return Err(OTHER_PARAMS);
        }
        inner.half = None;
        inner.version += 1;
        copy_into(&snapshot.arena, &arena)?;
        let tables = tables(&mut inner)?;
        snapshot.tables.iter().zip(&tables).try_for_each(|(from, to)| copy_into(from, to))
    }

    /// Whether a snapshot is of these parameters, with no layer built since.
    pub(crate) fn has_snapshot(&self, snapshot: &Snapshot) -> bool {
        let mut inner = self.lock();
        // Layers that are built wait for the buffers to grow.
        inner.arena().is_ok() && inner.own_generation() == snapshot.generation
    }

    /// Moves a snapshot by a share of the way to the parameters.
    pub(crate) fn average_into(&self, snapshot: &Snapshot, share: f32) -> Result<()> {
        let mut inner = self.lock();
        average(&inner.arena()?.value, &snapshot.arena, share)?;
        let tables = tables(&mut inner)?;
        tables.iter().zip(&snapshot.tables).try_for_each(|(x, mean)| average(x, mean, share))
    }

    /// Exchanges the parameters and a snapshot of theirs. Nothing is copied.
    pub(crate) fn exchange(&self, snapshot: &mut Snapshot) -> Result<()> {
        let mut inner = self.lock();
        tables(&mut inner)?;
        inner.arena()?;
        inner.half = None;
        inner.version += 1;
        if let Some(arena) = &mut inner.arena {
            swap(&mut arena.value, &mut snapshot.arena);
        }
        let values = inner.tables().filter_map(|table| table.value.as_mut());
        values.zip(&mut snapshot.tables).for_each(|(value, other)| swap(value, other));
        Ok(())
    }

    /// The values of a snapshot by name, in PyTorch's layout. Waits for the device.
    pub(crate) fn values_of(&self, snapshot: &Snapshot) -> Result<Vec<(String, Vec<f32>)>> {
        let inner = self.lock();
        if inner.own_generation() != snapshot.generation {
            return Err(OTHER_PARAMS);
        }
        let mut tables = snapshot.tables.iter();
        inner
            .specs
            .iter()
            .map(|spec| {
                let values = match (&spec.table, &spec.quantized) {
                    (Some(_), _) => tables.next().ok_or(OTHER_PARAMS)?.to_vec()?,
                    (None, Some(value)) => value.floats(),
                    (None, None) => {
                        spec.outside(&snapshot.arena.view(spec.offset, [spec.len]).to_vec()?)
                    }
                };
                Ok((spec.name.clone(), values))
            })
            .collect()
    }

    /// Holds what a trial training changes, for [`Params::put_back`].
    pub(crate) fn hold(&self) -> Result<Held> {
        let values = self.snapshot()?;
        let inner = self.lock();
        let loss_scaling = inner.loss_scaling.as_ref().map(copied).transpose()?;
        Ok(Held { values, keys: inner.keys, loss_scaling })
    }

    /// Undoes what a trial training changed.
    pub(crate) fn put_back(&self, held: &Held) -> Result<()> {
        self.restore(&held.values)?;
        let mut inner = self.lock();
        inner.keys = held.keys;
        inner.loss_scaling = held.loss_scaling.as_ref().map(copied).transpose()?;
        Ok(())
    }
}

/// The values of all tables, in order.
fn tables(inner: &mut Store) -> Result<Vec<Tensor>> {
    let device = inner.device.clone();
    inner.tables().map(|table| table.value(&device)).collect()
}

fn copied(from: &Tensor) -> Result<Tensor> {
    let to = Tensor::large_zeros(from.shape(), "a copy of all parameters", &from.device())?;
    copy_into(from, &to)?;
    Ok(to)
}

fn copy_into(from: &Tensor, to: &Tensor) -> Result<()> {
    // Without parameters in the arena, all of them may be tables.
    if from.is_empty() { Ok(()) } else { copy(from, to) }
}
