//! What a training changes of parameters besides their values: the dice and the loss scale.

use super::Params;
use crate::file::State;
use crate::tensor::Tensor;
use crate::{Error, Result};

impl Params {
    /// The seed, the number of keys drawn from it, and the loss scale. Waits for the device.
    pub(crate) fn training_state(&self) -> Result<State> {
        let mut state = State::new();
        let (seed, keys) = self.draws();
        state.set_text("seed", seed.to_string());
        state.set_number("keys", keys as f64);
        let scaling = self.lock().loss_scaling.clone();
        if let Some(scaling) = scaling {
            state.set_values("loss_scaling", scaling.to_vec()?);
        }
        Ok(state)
    }

    /// Goes on from what [`Params::training_state`] gave.
    pub(crate) fn set_training_state(&self, state: &State) -> Result<()> {
        let seed = state.text("seed")?;
        let seed = seed.parse().map_err(|_| Error::Missing { name: format!("seed {seed}") })?;
        let keys = state.number("keys")? as u64;
        let device = self.device();
        let scaling = match state.values("loss_scaling") {
            Ok(values) => Some(Tensor::from_slice(values, [values.len()], &device)?),
            Err(_) => None,
        };
        self.set_draws(seed, keys);
        if scaling.is_some() {
            self.lock().loss_scaling = scaling;
        }
        Ok(())
    }
}
