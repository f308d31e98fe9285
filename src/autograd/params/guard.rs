//! The guard of a training: no step is made from the first gradient on that is not finite, so that the last
//! good values stay. Nothing is read back until somebody asks.

use super::{Params, Precision};
use crate::Result;
use crate::ops::optim::guard::Guard;

impl Params {
    /// Sets a new guard, or none.
    pub(crate) fn set_guard(&self, on: bool) -> Result<()> {
        let guard = if on { Some(Guard::new(&self.device())?) } else { None };
        self.lock().guard = guard;
        Ok(())
    }

    /// The guard that an optimizer asks before its step; none in mixed precision, where the loss scale does
    /// its work.
    pub(crate) fn guard(&self) -> Option<Guard> {
        let inner = self.lock();
        inner.guard.clone().filter(|_| inner.precision == Precision::Full)
    }

    /// The steps made under the guard before it ended them; `None` as long as it has not. Waits for the
    /// device.
    pub(crate) fn guarded_steps(&self) -> Result<Option<u64>> {
        self.guard().map_or(Ok(None), |guard| guard.ended())
    }
}
