//! What is told of a training that gave a number that is not finite.

use super::{Aside, Training, Unseen};
use crate::autograd::Tape;
use crate::nn::{Own, unpacked};
use crate::train::batch::Batch;
use crate::{Error, Result};
use std::time::Instant;

impl Training<'_, '_> {
    /// Looks whether the guard ended the steps since the last look, and sets a new one. Waits for the device.
    pub(super) fn look(&mut self) -> Result<()> {
        if self.unseen.is_empty() {
            return Ok(());
        }
        let params = &self.model.params;
        if let Some(good) = params.guarded_steps()? {
            // What was counted after the last good step did not happen.
            let lost = (self.unseen.len() as u64).saturating_sub(good);
            self.place.steps = self.place.steps.saturating_sub(lost);
            self.position.steps = self.place.steps;
            let step = self.unseen.get(good as usize).copied();
            let found = step.map(|step| self.diagnose(step)).transpose()?;
            let (batch, what) = found.unwrap_or((None, "a gradient".into()));
            return Err(self.diverged(batch, what));
        }
        self.looked = Instant::now();
        self.unseen.clear();
        params.set_guard(true)
    }

    pub(super) fn diverged(&self, batch: Option<usize>, what: String) -> Error {
        let batch = batch.map(|batch| batch + 1);
        Error::Diverged { epoch: self.place.epoch + 1, batch, what }
    }

    /// Runs a step again, with the dice of then, and tells which of its batches went bad, and what first did.
    fn diagnose(&self, step: Unseen) -> Result<(Option<usize>, String)> {
        let params = &self.model.params;
        for name in params.names() {
            if params.get(&name)?.iter().any(|value| !value.is_finite()) {
                return Ok((Some(step.batch), format!("the parameter {name:?}")));
            }
        }
        let _aside = Aside::new(self.model);
        let (seed, now) = params.draws();
        params.set_draws(seed, step.keys);
        let mut found = Ok((Some(step.batch), "a gradient".into()));
        let end = step.batch.saturating_add(self.options.accumulate);
        for number in step.batch..end {
            let batch = self.feed.as_ref().map(|feed| feed.again(number)).transpose();
            let Some(batch) = batch.map(Option::flatten).transpose() else { break };
            match batch.and_then(|batch| self.diagnose_batch(&batch)) {
                Ok(None) => {}
                Ok(Some(what)) => {
                    found = Ok((Some(number), what));
                    break;
                }
                Err(error) => {
                    found = Err(error);
                    break;
                }
            }
        }
        params.set_draws(seed, now);
        params.zero_gradients()?;
        found
    }

    fn diagnose_batch(&self, batch: &Batch) -> Result<Option<String>> {
        let (model, params) = (self.model, &self.model.params);
        let (seed, keys) = params.draws();
        let tape = Tape::new(params);
        let mut x = batch.x.clone();
        for (number, layer) in model.layers.iter().enumerate() {
            x = if layer.takes_packed(Own) { x } else { unpacked(&tape, &x)? };
            x = layer.forward(&tape, &x)?;
            if x.tensor().to_vec()?.iter().any(|x| !x.is_finite()) {
                return Ok(Some(format!("the output of layer {} ({})", number + 1, layer.kind())));
            }
        }
        params.set_draws(seed, keys);
        params.zero_gradients()?;
        let tape = Tape::new(params).detect_anomaly();
        let mut totals = model.totals(self.loss, self.metrics)?;
        let loss = model.loss(&tape, batch, self.loss, &mut totals)?;
        match tape.backward(&loss) {
            Err(Error::Anomaly { op, parameter: Some(name), .. }) => {
                Ok(Some(format!("the gradient of {name:?}, by {op}")))
            }
            Err(Error::Anomaly { op, backward: true, .. }) => {
                Ok(Some(format!("a gradient, by {op}")))
            }
            Err(Error::Anomaly { .. }) => Ok(Some(format!("the loss ({})", self.loss.name()))),
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }
}
