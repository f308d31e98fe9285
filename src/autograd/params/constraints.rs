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

    /// Keeps the parameters inserted since `mark` as they are, for a layer that does not learn them: no gradient
    /// would not do, since an optimizer's decay moves them all the same.
    pub(crate) fn freeze_since(&self, mark: usize) {
        let mut inner = self.lock();
        inner.specs.iter_mut().skip(mark).for_each(|spec| spec.frozen = true);
        inner.groups.forget();
    }

    /// As [`Params::freeze_since`], for good: [`Params::set_frozen`] does not let them move.
    pub(crate) fn fix_since(&self, mark: usize) {
        self.lock().specs.iter_mut().skip(mark).for_each(|spec| spec.fixed = true);
        self.freeze_since(mark);
    }

    /// Keeps the parameters of these names as they are, or lets them move again.
    pub(crate) fn set_frozen(&self, names: &[String], frozen: bool) {
        let mut inner = self.lock();
        let own = inner.specs.iter_mut().filter(|spec| names.contains(&spec.name));
        own.for_each(|spec| spec.frozen = frozen || spec.fixed);
        inner.groups.forget();
    }

    /// Whether a parameter is kept as it is, whatever a group says.
    pub(crate) fn keeps(&self, id: ParamId) -> bool {
        self.lock().specs.get(id.index).is_some_and(|spec| spec.frozen)
    }

    /// [`Params::keeps`], by the parameter's name.
    pub(crate) fn keeps_name(&self, name: &str) -> bool {
        self.lock().specs.iter().any(|spec| spec.name == name && spec.frozen)
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

    /// Scales down weights whose norm exceeds the limit of their layer, but for frozen ones: see
    /// [`super::Group`]. The optimizers of this crate and [`Params::update`] do so at the end of each step.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`].
    pub fn constrain(&self) -> Result<()> {
        let grouped = self.grouped()?;
        let frozen = |index| grouped.as_ref().is_some_and(|grouped| grouped.is_frozen(index));
        let mut inner = self.lock();
        if inner.specs.iter().all(|s| s.max_norm.is_none()) {
            return Ok(());
        }
        let arena = inner.arena()?;
        inner.half = None;
        inner.version += 1;
        inner.specs.iter().enumerate().try_for_each(|(index, spec)| match spec.max_norm {
            Some((limit, columns)) if !frozen(index) => {
                max_norm(&arena.value.view(spec.offset, [spec.len]), columns, limit)
            }
            _ => Ok(()),
        })
    }
}
