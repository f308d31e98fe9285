//! From sequences to single frames, and back.

use super::{Layer, LayerState, Params, check_size, to_config};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::lengths::Counted;
use crate::ops::frames::pool::{self as op, Kind};
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};

/// How [`Pool`] reduces the frames of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of each feature: Keras' `GlobalAveragePooling1D`.
    Mean,
    /// The maximum of each feature: Keras' `GlobalMaxPooling1D`.
    Max,
    /// The last frame that counts.
    Last,
}

/// Reduces the frames of each row to one: `[B,T,F]` to `[B,F]`. Only frames that the row's length or
/// mask lets count are read; a row without any gives 0.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Lstm, Merge, Pool, Pooling};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// let model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16).bidirectional(Merge::Concat).return_sequences())
///     .add(Pool::new(Pooling::Mean))
///     .add(Dense::new(3));
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Pool {
    pooling: Pooling,
    #[serde(skip)]
    size: usize,
}

impl Pool {
    /// A layer with this kind of pooling.
    pub fn new(pooling: Pooling) -> Self {
        Self { pooling, size: 0 }
    }

    /// Runs the layer, which has no parameters to build.
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::Empty`] if `x` is not `[B,T,F]`; [`Error::DType`];
    /// [`Error::Length`] and [`Error::Shape`] for lengths or a mask that do not fit,
    /// [`Error::Unsupported`] for both; and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let check = Check::new("pool", "a sequence for each row");
        check.dtype("x", x.tensor(), DType::F32)?;
        let dims: [usize; 3] =
            check.dims("x", x.tensor(), "[B,T,F], as a layer with return_sequences gives it")?;
        let steps = x.counted("pool", dims[0], dims[1])?;
        let kind = match self.pooling {
            Pooling::Mean => Kind::Mean,
            Pooling::Max => Kind::Max,
            Pooling::Last => Kind::Last,
        };
        let (y, found) = op::pool(kind, x.tensor(), dims, &steps)?;
        Ok(super::functions::map(tape, x, y, move |d_y| {
            op::backward(kind, d_y, dims, &steps, Some(&found))
        }))
    }
}

impl Layer for Pool {
    fn kind(&self) -> &'static str {
        "pool"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        self.size = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, _: bool) -> bool {
        false
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Pool::forward(self, tape, x)
    }

    fn step(&self, _: &Tape, _: &Var, _: LayerState) -> Result<(Var, LayerState)> {
        Err(Error::Unsupported {
            what: "Sequential::stepper",
            with: "Pool",
            help: "it takes all frames of a sequence at once: an Lstm without return_sequences gives the last",
        })
    }

    fn parameter_count(&self) -> usize {
        0
    }
}

/// Repeats a frame at `n` timesteps: `[B,F]` to `[B,n,F]`. Keras' `RepeatVector`.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Lstm, Repeat};
/// use wgpu_lstm::Sequential;
/// use wgpu_lstm::Device;
/// // Reads a sequence and predicts 5 frames of 2 features.
/// let model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16))
///     .add(Repeat::new(5))
///     .add(Lstm::new(16).return_sequences())
///     .add(Dense::new(2));
/// # let _ = model;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Repeat {
    n: usize,
    #[serde(skip)]
    size: usize,
}

impl Repeat {
    /// A layer that gives this many timesteps.
    pub fn new(n: usize) -> Self {
        Self { n, size: 0 }
    }

    /// Runs the layer, which has no parameters to build.
    ///
    /// # Errors
    /// [`Error::Option`] for no timesteps; [`Error::Rank`] and [`Error::Empty`] if `x` is not `[B,F]`;
    /// [`Error::DType`]; [`Error::TooLarge`]; and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        check_size("Repeat::n", self.n)?;
        let check = Check::new("repeat", "a frame for each row");
        check.dtype("x", x.tensor(), DType::F32)?;
        let [b, f] = check.dims("x", x.tensor(), "[B,F]")?;
        let dims = [b, self.n, f];
        if crate::tensor::count(&dims) > u32::MAX as usize {
            let (bytes, limit) = (4 * crate::tensor::count(&dims) as u64, 4 * u64::from(u32::MAX));
            return Err(Error::TooLarge { what: "a repeated frame", bytes, limit });
        }
        // The gradient of a repeated frame is a sum over timesteps, and the reverse.
        let y = op::backward(Kind::Sum, x.tensor(), dims, &Counted::All, None)?;
        Ok(super::functions::map(tape, x, y, move |d_y| {
            Ok(op::pool(Kind::Sum, d_y, dims, &Counted::All)?.0)
        }))
    }
}

impl Layer for Repeat {
    fn kind(&self) -> &'static str {
        "repeat"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        check_size("Repeat::n", self.n)?;
        self.size = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, _: bool) -> bool {
        true
    }

    fn fixed_timesteps(&self) -> Option<usize> {
        Some(self.n)
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Repeat::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
