//! Pools over some timesteps at a time.

use super::functions::map;
use super::padding::{Padding, Windows};
use super::{Layer, LayerState, Params, check_size, to_config};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::conv::pool1d::{self as op, Kind};
use crate::{DType, Error, Result};
use serde::{Deserialize, Serialize};

/// Reduces the frames under a window to one, a window after the other: `[B,T,C]` to `[B,T',C]`. Keras'
/// `MaxPooling1D` and `AveragePooling1D`, PyTorch's `MaxPool1d` and `AvgPool1d`.
///
/// Padding is no frame: it is never the largest, and a mean is over the frames that are there, unless
/// [`Pool1d::count_padding`] says otherwise. Of a row of length L there are as many outputs as it gives by itself,
/// and no frame behind it is read. A mask does not change what is computed, and ends here, as in Keras; the lengths of
/// rows go on.
///
/// ```
/// use wgpu_lstm::nn::{Params, Pool1d};
/// use wgpu_lstm::{Device, Tape, Tensor};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let x = Tensor::from_slice(&[1.0, 5.0, 2.0, 0.0, 7.0], [1, 5, 1], &device)?;
/// let most = Pool1d::max(2).forward(&tape, &x.clone().into())?;
/// assert_eq!(most.tensor().to_vec()?, [5.0, 2.0]);
/// let mean = Pool1d::average(2).stride(1).forward(&tape, &x.into())?;
/// assert_eq!(mean.tensor().to_vec()?, [3.0, 3.5, 1.0, 3.5]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Pool1d {
    max: bool,
    window: usize,
    #[serde(default)]
    stride: Option<usize>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    count_padding: bool,
    #[serde(skip)]
    size: usize,
}

impl Pool1d {
    fn new(max: bool, window: usize) -> Self {
        let (stride, padding) = (None, Padding::Valid);
        Self { max, window, stride, padding, count_padding: false, size: 0 }
    }

    /// A layer that gives the largest of `size` frames for each feature. A NaN is the largest.
    pub fn max(size: usize) -> Self {
        Self::new(true, size)
    }

    /// A layer that gives the mean of `size` frames for each feature.
    pub fn average(size: usize) -> Self {
        Self::new(false, size)
    }

    /// Sets the frames from one window to the next: by default the window's size.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = Some(stride);
        self
    }

    /// Sets what stands around a sequence: nothing by default.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Counts padding as frames of zeros in a mean: PyTorch's `count_include_pad`, which is its default.
    pub fn count_padding(mut self) -> Self {
        self.count_padding = true;
        self
    }

    fn windows(&self) -> Windows {
        let (size, stride) = (self.window, self.stride.unwrap_or(self.window));
        Windows { size, stride, dilation: 1, padding: self.padding }
    }

    fn check(&self) -> Result<()> {
        self.windows().check([
            "Pool1d::size",
            "Pool1d::stride",
            "Pool1d::dilation",
            "Pool1d::padding",
        ])
    }

    /// Runs the layer, which has no parameters to build.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0; [`Error::Rank`] and [`Error::Empty`] if `x` is not `[B,T,C]` with as many
    /// timesteps as a window takes; [`Error::DType`]; [`Error::Length`] and [`Error::Shape`] for lengths or a mask
    /// that do not fit; [`Error::Unsupported`] for rows of different lengths with [`Padding::Same`] and a stride, whose
    /// padding begins differently; and those of the device.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        self.check()?;
        let check = Check::new("pool1d", "a sequence for each row");
        check.dtype("x", x.tensor(), DType::F32)?;
        let axes = "[B,T,C], as a layer with return_sequences gives it";
        let dims: [usize; 3] = check.dims("x", x.tensor(), axes)?;
        x.counted("pool1d", dims[0], dims[1])?;
        let x = &x.without_mask();
        let steps = x.counted("pool1d", dims[0], dims[1])?;
        let (window, lengths) = self.windows().of_rows("Pool1d", x, dims[1])?;
        let kind = match (self.max, self.count_padding) {
            (true, _) => Kind::Max,
            (false, true) => Kind::MeanWithPadding,
            (false, false) => Kind::Mean,
        };
        let pool = op::Pool1d { kind, window, dims, steps };
        let (y, found) = pool.forward(x.tensor())?;
        Ok(map(tape, x, y, move |d_y| pool.backward(d_y, &found)).with_lengths(lengths))
    }
}

impl Layer for Pool1d {
    fn kind(&self) -> &'static str {
        "pool1d"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn build_on(&mut self, _: &Params, input_size: usize) -> Result<()> {
        check_size("Pool1d::input_size", input_size)?;
        self.check()?;
        self.size = input_size;
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn output_timesteps(&self, timesteps: usize) -> usize {
        self.windows().outputs(timesteps)
    }

    fn gives_sequence(&self, _: bool) -> bool {
        true
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Pool1d::forward(self, tape, x)
    }

    fn step(&self, _: &Tape, _: &Var, _: LayerState) -> Result<(Var, LayerState)> {
        Err(Error::Unsupported {
            what: "Sequential::stepper",
            with: "Pool1d",
            help: "it makes one frame of several: a stream's frames may each be a sequence, for TimeDistributed",
        })
    }

    fn parameter_count(&self) -> usize {
        0
    }
}
