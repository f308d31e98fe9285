//! Averages of the weights over the steps of a training.

mod ema;
mod swa;

pub use ema::Ema;
pub use swa::Swa;

use crate::Result;
use crate::autograd::{Params, Snapshot};
use crate::file::State;

/// An average of the weights over the steps of a training, which often generalizes better than the last
/// weights: [`Ema`] or [`Swa`], for [`super::Fit::average`] or for loops of your own.
///
/// The averages stay on the device, in as much memory as the parameters take once more.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, loss};
/// use wgpu_lstm::nn::{Dense, Params};
/// use wgpu_lstm::train::{Averaging, Ema, Sgd};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let layer = Dense::new(1).build(&params, 2)?;
/// let (mut sgd, mut ema) = (Sgd::new(0.1), Ema::new(0.99));
/// for _ in 0..3 {
///     let tape = Tape::new(&params);
///     let y = layer.forward(&tape, &Tensor::zeros([1, 2], &device)?.into())?;
///     let loss = loss::mean_squared_error(&tape, &y, &Tensor::zeros([1, 1], &device)?, None)?;
///     tape.backward(&loss)?;
///     sgd.step(&params)?;
///     ema.update(&params)?;
/// }
/// ema.apply(&params)?;
/// // Here the model has the averages: predict or evaluate.
/// ema.restore(&params)?;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub trait Averaging {
    /// Takes the weights as they are after a step of the optimizer. If the parameters hold the averages, it
    /// first restores the weights. Averages of parameters that are no more, or of fewer, begin anew.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a setting that makes no sense, [`crate::Error::NotBuilt`] without parameters, and
    /// those of the device.
    fn update(&mut self, params: &Params) -> Result<()>;

    /// Puts the averages in the place of the weights, which are kept; nothing is copied. Does nothing if they
    /// are there already, or if there are none yet. A tape does not survive it: [`crate::Error::Stale`].
    ///
    /// # Errors
    /// Those of the device.
    fn apply(&mut self, params: &Params) -> Result<()>;

    /// Puts the weights back that [`Averaging::apply`] kept. What was set in the parameters meanwhile stays in
    /// the averages. Does nothing if the weights are back already.
    ///
    /// # Errors
    /// Those of the device.
    fn restore(&mut self, params: &Params) -> Result<()>;

    /// Checks the settings before a training; by default there are none.
    ///
    /// # Errors
    /// [`crate::Error::Option`].
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Is told the loss on the validation data, or without such data that of the epoch's training, after
    /// each epoch. By default it does nothing.
    fn observe(&mut self, _loss: f32) {}

    /// What it keeps from step to step, for a checkpoint: with the parameters as they are now, all that a
    /// training needs to go on. Waits for the device.
    ///
    /// # Errors
    /// Those of the device.
    fn state(&self, params: &Params) -> Result<State>;

    /// Goes on from what [`Averaging::state`] gave, of an average with the same options; the parameters must
    /// be, or become, what they were then.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] and [`crate::Error::Count`] if it is of another average or of other parameters, and
    /// those of the device.
    fn set_state(&mut self, params: &Params, state: &State) -> Result<()>;
}

impl<A: Averaging + ?Sized> Averaging for &mut A {
    fn update(&mut self, params: &Params) -> Result<()> {
        (**self).update(params)
    }

    fn apply(&mut self, params: &Params) -> Result<()> {
        (**self).apply(params)
    }

    fn restore(&mut self, params: &Params) -> Result<()> {
        (**self).restore(params)
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn observe(&mut self, loss: f32) {
        (**self).observe(loss);
    }

    fn state(&self, params: &Params) -> Result<State> {
        (**self).state(params)
    }

    fn set_state(&mut self, params: &Params, state: &State) -> Result<()> {
        (**self).set_state(params, state)
    }
}

/// The averages of all parameters, whatever the rule.
#[derive(Debug, Default)]
struct Averages {
    /// The averages, or the weights while the parameters hold the averages.
    shadow: Option<Snapshot>,
    /// The number of weights averaged.
    count: u64,
    applied: bool,
}

impl Averages {
    /// Takes the weights: as they are if they are the first, else by a share that the number of those before
    /// gives.
    fn add(&mut self, params: &Params, share: impl FnOnce(u64) -> f32) -> Result<()> {
        self.restore(params)?;
        match &self.shadow {
            Some(shadow) => params.average_into(shadow, share(self.count))?,
            None => self.shadow = Some(params.snapshot()?),
        }
        self.count += 1;
        Ok(())
    }

    /// Forgets averages of other parameters.
    fn look(&mut self, params: &Params) {
        if self.shadow.as_ref().is_some_and(|shadow| !params.has_snapshot(shadow)) {
            *self = Self::default();
        }
    }

    fn exchange(&mut self, params: &Params, applied: bool) -> Result<()> {
        self.look(params);
        if let Some(shadow) = self.shadow.as_mut().filter(|_| self.applied != applied) {
            params.exchange(shadow)?;
            self.applied = applied;
        }
        Ok(())
    }

    fn apply(&mut self, params: &Params) -> Result<()> {
        self.exchange(params, true)
    }

    fn restore(&mut self, params: &Params) -> Result<()> {
        self.exchange(params, false)
    }

    fn state(&self, params: &Params) -> Result<State> {
        let mut state = State::new();
        let shadow = self.shadow.clone().filter(|shadow| params.has_snapshot(shadow));
        let (count, applied) = match &shadow {
            Some(_) => (self.count, self.applied),
            None => (0, false),
        };
        state.set_number("count", count as f64);
        state.set_number("applied", f64::from(u8::from(applied)));
        if let Some(shadow) = shadow {
            let mut values = State::new();
            for (name, of) in params.values_of(&shadow)? {
                values.set_values(&name, of);
            }
            state.nest("values", values);
        }
        Ok(state)
    }

    fn set_state(&mut self, params: &Params, state: &State) -> Result<()> {
        let count = state.number("count")? as u64;
        let applied = state.number("applied")? != 0.0;
        if count == 0 {
            *self = Self::default();
            return Ok(());
        }
        let (values, names) = (state.nested("values"), params.names());
        // All of them are looked for before anything changes.
        let values = names.iter().map(|name| values.values(name)).collect::<Result<Vec<_>>>()?;
        let shadow = params.snapshot()?;
        let set = || names.iter().zip(values).try_for_each(|(name, v)| params.set(name, v));
        exchanged(params, shadow.clone(), set)?;
        *self = Self { shadow: Some(shadow), count, applied };
        Ok(())
    }
}

/// Runs `f` while the parameters hold the values of a shadow.
fn exchanged(params: &Params, mut shadow: Snapshot, f: impl FnOnce() -> Result<()>) -> Result<()> {
    params.exchange(&mut shadow)?;
    let done = f();
    params.exchange(&mut shadow)?;
    done
}
