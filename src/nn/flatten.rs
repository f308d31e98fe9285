//! A sequence as one frame, and frames that do not count.

use super::functions::{multiply_by_mask, reshape};
use super::{Layer, LayerState, Own, Params, check_size, to_config};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::{DType, Error, Mask, Result};
use serde::{Deserialize, Serialize};

/// The frames of a sequence side by side: `[B,T,F]` to `[B,T*F]`. Keras' `Flatten`; PyTorch's, of `[B,F,T]`, has
/// another order.
///
/// How many there are must be known when the layer is built: [`super::Repeat`] and [`super::TimeDistributed`] say so;
/// else [`Flatten::timesteps`] does. A frame `[B,F]` stays as it is.
///
/// ```
/// use wgpu_lstm::nn::{Conv1d, Dense, Flatten};
/// use wgpu_lstm::{Device, Sequential};
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Flatten::new().timesteps(10))
///     .add(Dense::new(2));
/// model.build(3)?;
/// assert_eq!(model.params().shape("dense.weight")?, [2, 30]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Flatten {
    timesteps: Option<usize>,
    #[serde(skip)]
    size: usize,
}

impl Flatten {
    /// A layer for sequences whose number of timesteps the layers before it set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the timesteps of every sequence.
    pub fn timesteps(mut self, timesteps: usize) -> Self {
        self.timesteps = Some(timesteps);
        self
    }

    /// Runs the layer, which has no parameters to build.
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::Empty`] if `x` is not `[B,T,F]` or `[B,F]`; [`Error::Unsupported`] for rows of
    /// different lengths.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let check = Check::new("flatten", "as many timesteps as the layer was built for");
        let [b, t, f] = match x.shape() {
            &[b, f] => [b, 1, f],
            _ => check.dims("x", x.tensor(), "[B,T,F]")?,
        };
        if let Some(expected) = self.timesteps.filter(|_| x.shape().len() == 3) {
            check.shape("x", x.tensor(), "[B,T,F]", &[b, expected, f])?;
        }
        if x.lengths().is_some_and(|lengths| lengths.values().iter().any(|&l| l as usize != t)) {
            return Err(Error::Unsupported {
                what: "rows of different lengths",
                with: "Flatten",
                help: "each place of a frame has weights of its own behind it: make the rows alike, or take a Pool",
            });
        }
        reshape(tape, x, &[b, t * f])
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.build_for(params, input_size, None)
    }

    fn build_for(&mut self, _: &Params, input_size: usize, timesteps: Option<usize>) -> Result<()> {
        let Some(count) = self.timesteps.or(timesteps) else {
            return Err(Error::Unsupported {
                what: "Flatten",
                with: "sequences of any length",
                help: "say how many timesteps there are, by Flatten::timesteps",
            });
        };
        if let Some(found) = timesteps.filter(|&found| found != count) {
            let expected = format!("{found}, as the layer before gives");
            let option = "Flatten::timesteps";
            return Err(Error::Option { option, found: count.to_string(), expected });
        }
        check_size("Flatten::timesteps", count)?;
        check_size("Flatten::input_size", input_size)?;
        let size = count.saturating_mul(input_size);
        check_size("Flatten::output_size", size)?;
        self.size = size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, _: bool) -> bool {
        false
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Flatten::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        0
    }
}

/// Leaves out the frames whose features all have one value: they get zeros, and a mask by which later layers do not
/// count them. Keras' `Masking`. `[B,T,F]` to `[B,T,F]`.
///
/// Where a model gives a value for each frame, those that are left out have no part in loss and metrics either.
///
/// Rows of different lengths get a mask that leaves out what is behind them, too. The values are looked at on the host,
/// so that a GPU is waited for.
///
/// ```
/// use wgpu_lstm::nn::{Lstm, Masking};
/// use wgpu_lstm::{Device, Sequential, Tape, Tensor};
/// let device = Device::auto()?;
/// let mut model = Sequential::new(&device).add(Masking::new(-1.0)).add(Lstm::new(4));
/// model.build(2)?;
/// let run = |x: &[f32]| {
///     let x = Tensor::from_slice(x, [1, x.len() / 2, 2], &device)?;
///     model.forward(&Tape::inference(model.params()), &x.into())?.tensor().to_vec()
/// };
/// assert_eq!(run(&[0.1, 0.2, -1.0, -1.0, 0.3, -1.0])?, run(&[0.1, 0.2, 0.3, -1.0])?);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Masking {
    value: f32,
    #[serde(skip)]
    size: usize,
}

impl Masking {
    /// A layer that leaves out the frames of this value: Keras' default is 0.
    pub fn new(value: f32) -> Self {
        Self { value, size: 0 }
    }

    /// Runs the layer, which has no parameters to build.
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::Empty`] if `x` is not `[B,T,F]`; [`Error::DType`]; [`Error::Length`] and
    /// [`Error::Shape`] for lengths or a mask that do not fit; and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let check = Check::new("masking", "a sequence for each row");
        check.dtype("x", x.tensor(), DType::F32)?;
        let [b, t, f] = check.dims("x", x.tensor(), "[B,T,F]")?;
        let counted = x.counted("masking", b, t)?;
        let values = x.tensor().to_vec()?;
        let on = values.chunks_exact(f).enumerate().map(|(at, frame)| {
            counted.counts(at / t, at % t) && frame.iter().any(|&value| value != self.value)
        });
        let on: Vec<_> = on.collect();
        if on.iter().all(|&on| on) {
            return Ok(x.clone());
        }
        let mask = Mask::new(&on, [b, t], &x.tensor().device())?;
        let y = multiply_by_mask(tape, x, &mask)?;
        Ok(y.with_mask(Some(mask.with_ends(x.ends().cloned()))))
    }
}

impl Layer for Masking {
    fn kind(&self) -> &'static str {
        "masking"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn masked_value(&self, _: Own) -> Option<f32> {
        Some(self.value)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        if !self.value.is_finite() {
            let (option, found) = ("Masking::value", self.value.to_string());
            return Err(Error::Option { option, found, expected: "a finite number".into() });
        }
        check_size("Masking::input_size", input_size)?;
        self.size = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Masking::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
