//! What an optimizer keeps for each parameter, by the parameters' names.

use super::{ParamId, Params};
use crate::{Error, Result, Tensor};

/// A sparse table, with its name.
pub(crate) struct NamedTable {
    pub(crate) id: ParamId,
    pub(crate) name: String,
    pub(crate) value: Tensor,
}

impl Params {
    /// The values of each parameter in PyTorch's layout, of words that lie as the parameters do; but for
    /// tables.
    pub(crate) fn by_name(&self, words: &[f32]) -> Vec<(String, Vec<f32>)> {
        let inner = self.lock();
        let specs = inner.specs.iter().filter(|spec| spec.in_arena());
        let inside = specs.filter_map(|spec| {
            let words = words.get(spec.offset..spec.offset + spec.len)?;
            Some((spec.name.clone(), spec.outside(words)))
        });
        inside.collect()
    }

    /// The other way round: sets the words to the values that `of` has for each parameter. `op` is the method
    /// that an error names.
    ///
    /// # Errors
    /// [`Error::Count`] for more or fewer values than a parameter has, and those of `of`.
    pub(crate) fn fill_by_name<'a>(
        &self,
        op: &'static str,
        words: &mut [f32],
        of: impl Fn(&str) -> Result<&'a [f32]>,
    ) -> Result<()> {
        let inner = self.lock();
        for spec in inner.specs.iter().filter(|spec| spec.in_arena()) {
            let values = of(&spec.name)?;
            let (expected, found) = (spec.outside_len(), values.len());
            if expected != found {
                return Err(Error::Count { op, shape: spec.shape.clone(), expected, found });
            }
            let Some(words) = words.get_mut(spec.offset..spec.offset + spec.len) else { continue };
            spec.layout.to_memory(values, words);
        }
        Ok(())
    }

    /// All sparse tables.
    pub(crate) fn named_tables(&self) -> Result<Vec<NamedTable>> {
        let mut inner = self.lock();
        let (device, params) = (inner.device.clone(), inner.number);
        let mut tables = Vec::new();
        for (index, spec) in inner.specs.iter_mut().enumerate() {
            let id = ParamId { params, index, serial: spec.serial };
            let Some(table) = &mut spec.table else { continue };
            tables.push(NamedTable { id, name: spec.name.clone(), value: table.value(&device)? });
        }
        Ok(tables)
    }
}
