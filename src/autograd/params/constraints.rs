//! Constraints on parameters: penalties and limits of norms.

use super::{ParamId, Params};
use crate::Result;
use crate::ops::optim::regularizer::max_norm;

impl Params {
    /// Sets the penalty (L1 and L2) of a parameter, and the limit of its columns' norms.
    pub(crate) fn set_constraints(
        &self,
        id: ParamId,
        penalty: Option<[f32; 2]>,
        max_norm: Option<(f32, usize)>,
    ) {
        if let Some(spec) = self.lock().specs.get_mut(id.index) {
            (spec.penalty, spec.max_norm) = (penalty, max_norm);
        }
    }

    /// All parameters with a penalty: their number of words, and L1 and L2.
    pub(crate) fn penalties(&self) -> Vec<(ParamId, usize, [f32; 2])> {
        let inner = self.lock();
        let specs = inner.specs.iter().enumerate();
        specs
            .filter_map(|(index, spec)| {
                let id = ParamId { params: inner.number, index, serial: spec.serial };
                Some((id, spec.len, spec.penalty?))
            })
            .collect()
    }

    /// Scales down weights whose norm exceeds the limit of their layer. The optimizers of this crate and
    /// [`Params::update`] do so at the end of each step.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`].
    pub fn constrain(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.specs.iter().all(|s| s.max_norm.is_none()) {
            return Ok(());
        }
        let arena = inner.arena()?;
        inner.half = None;
        inner.version += 1;
        inner.specs.iter().try_for_each(|spec| match spec.max_norm {
            Some((limit, columns)) => {
                max_norm(&arena.value.view(spec.offset, [spec.len]), columns, limit)
            }
            None => Ok(()),
        })
    }
}
