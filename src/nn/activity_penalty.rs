//! Penalties on outputs and on how much they change, as a layer.

use super::functions::zero_padding_untaped;
use super::{Layer, LayerState, Params, to_config};
use crate::autograd::{Tape, Var};
use crate::check::{Check, check_not_negative};
use crate::lengths::Counted;
use crate::ops::frames::apply_mask::apply_mask;
use crate::ops::nd::{Binary, PadMode, binary, pad, split};
use crate::ops::optim::regularizer;
use crate::{DType, Mask, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Adds to the loss of a training that the values which go through are large, and that they change from step to step:
/// AR and TAR, the activation regularization and temporal activation regularization of AWD-LSTM (Merity et al. 2017,
/// arXiv 1708.01009). The values stay as they are.
///
/// [`crate::Sequential`] adds the penalties on tapes that train; in a loop of your own [`Tape::regularized`] does.
/// Steps that do not count have none.
///
/// AWD-LSTM penalizes the change of what the last LSTM gives, and the size of what dropout leaves of it:
///
/// ```
/// use wgpu_lstm::nn::{ActivityPenalty, Dense, Dropout, Embedding, Lstm};
/// use wgpu_lstm::{Device, Sequential};
/// let model = Sequential::new(&Device::auto()?)
///     .add(Embedding::new(50, 8))
///     .add(Lstm::new(8).return_sequences())
///     .add(ActivityPenalty::new().change(1.0))
///     .add(Dropout::new(0.4).features())
///     .add(ActivityPenalty::new().size(2.0))
///     .add(Dense::new(50).tied());
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct ActivityPenalty {
    size: f32,
    change: f32,
    #[serde(skip)]
    features: usize,
}

impl ActivityPenalty {
    /// A layer without penalties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the factor of the mean of x² over all values, 0 by default: AR, for which AWD-LSTM takes 2.
    pub fn size(mut self, factor: f32) -> Self {
        self.size = factor;
        self
    }

    /// Sets the factor of the mean of (x_t - x_{t-1})² over all values and steps of a sequence `[B,T,F]`, 0 by
    /// default: TAR, for which AWD-LSTM takes 1.
    pub fn change(mut self, factor: f32) -> Self {
        self.change = factor;
        self
    }

    fn check(&self) -> Result<()> {
        check_not_negative("ActivityPenalty::size", self.size)?;
        check_not_negative("ActivityPenalty::change", self.change)
    }

    /// Runs the layer, which has no parameters to build: gives `x`, and adds penalties to the tape if it trains.
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a factor that is not a finite number of at least 0; [`crate::Error::Rank`] for a
    /// change of what is no sequence; [`crate::Error::DType`], and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        const OP: &str = "activity_penalty";
        self.check()?;
        if !tape.trains() || x.tensor().is_empty() {
            return Ok(x.clone());
        }
        let check = Check::new(OP, "a change is one of a sequence");
        check.dtype("x", x.tensor(), DType::F32)?;
        let values = zero_padding_untaped(OP, x)?;
        let features = x.shape().last().copied().unwrap_or(1);
        if self.size > 0.0 {
            let steps = match *x.shape() {
                [rows, timesteps, _] => {
                    let counted = x.counted(OP, rows, timesteps)?;
                    let each = (0..rows).flat_map(|row| (0..timesteps).map(move |t| (row, t)));
                    each.filter(|&(row, t)| counted.counts(row, t)).count()
                }
                _ => values.len() / features.max(1),
            };
            penalize(tape, x, values.clone(), self.size, steps * features, Ok)?;
        }
        if self.change > 0.0 {
            let [rows, timesteps, features] = check.dims("x", &values, "[B,T,F]")?;
            if timesteps < 2 {
                return Ok(x.clone());
            }
            let head = split(&values, 1, &[timesteps - 1, 1])?.swap_remove(0);
            let tail = split(&values, 1, &[1, timesteps - 1])?.swap_remove(1);
            let mut changes = binary(Binary::Sub, &tail, &head)?;
            let counted = x.counted(OP, rows, timesteps)?;
            let pairs = (0..rows).flat_map(|row| (1..timesteps).map(move |t| (row, t)));
            let both = |(row, t)| counted.counts(row, t) && counted.counts(row, t - 1);
            let on: Vec<_> = pairs.map(both).collect();
            if !matches!(counted, Counted::All) {
                let mask = Mask::new(&on, [rows, timesteps - 1], &values.device())?;
                changes = apply_mask(&changes, &mask)?;
            }
            let count = on.iter().filter(|&&on| on).count() * features;
            // Each change has the slope of its later step, and less that of the one before.
            penalize(tape, x, changes, self.change, count, |d| {
                let moved = |[before, after]: [isize; 2]| {
                    pad(&d, &[0, before, 0], &[0, after, 0], PadMode::Constant(0.0))
                };
                binary(Binary::Sub, &moved([1, 0])?, &moved([0, 1])?)
            })?;
        }
        Ok(x.clone())
    }
}

/// Adds `factor` times the mean of the squares to the tape: of `values` that were made of `x`, of which so many count;
/// `back` gives the gradient of `x`.
fn penalize(
    tape: &Tape,
    x: &Var,
    values: Tensor,
    factor: f32,
    count: usize,
    back: impl FnOnce(Tensor) -> Result<Tensor> + Send + 'static,
) -> Result<()> {
    let factors = [0.0, factor / count.max(1) as f32];
    let penalty = regularizer::penalty(&values, factors)?;
    let id = tape.id(x);
    tape.penalize(tape.push_one(penalty, id.is_some(), move |d_loss, gradients| {
        let d = Tensor::empty(values.shape(), &values.device())?;
        regularizer::backward(&values, factors, d_loss, &d, false)?;
        gradients.add(id, back(d)?)
    }));
    Ok(())
}

impl Layer for ActivityPenalty {
    fn kind(&self) -> &'static str {
        "activity_penalty"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        self.check()?;
        self.features = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.features
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        ActivityPenalty::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
