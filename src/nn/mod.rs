//! Layers.

mod activation;
mod activity_penalty;
mod attention;
mod attention_map;
mod attention_pool;
mod batch_norm;
mod conv1d;
mod crf;
mod dense;
mod dropout;
mod embedding;
mod flatten;
mod functions;
mod graph;
mod head;
mod highway;
mod init;
mod inner;
mod kinds;
mod layer_norm;
mod lstm;
mod padding;
mod pool;
mod pool1d;
mod regularizer;
mod rnn;
mod seq2seq;
mod spectrogram;
mod time_distributed;
mod unrolled;

pub use crate::autograd::{Group, ParamId, Params, Precision};
pub use crate::ops::lstm::Strategy;
pub use crate::ops::{Coupling, GateActivation};
pub use activation::{Activation, IntoLayer};
pub use activity_penalty::ActivityPenalty;
pub use attention::{Attended, Attention};
pub use attention_map::AttentionMap;
pub use attention_pool::AttentionPool;
pub use batch_norm::BatchNorm;
pub use conv1d::Conv1d;
pub use crf::Crf;
pub(crate) use crf::{Tag, bio_tags};
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::{Flatten, Masking};
pub(crate) use functions::unpacked;
pub use functions::{add, concat, multiply};
pub use graph::Graph;
pub use highway::Highway;
pub use init::Init;
pub(crate) use inner::Flow;
pub use kinds::Layers;
#[cfg(feature = "onnx")]
pub(crate) use layer_norm::EPSILON as LAYER_NORM_EPSILON;
pub use layer_norm::LayerNorm;
pub(crate) use lstm::Steps;
pub use lstm::{Lstm, LstmOutput, LstmState, LstmStepper, LstmTrace, Merge, StreamId};
pub use padding::Padding;
pub use pool::{Pool, Pooling, Repeat};
pub use pool1d::Pool1d;
pub use regularizer::Regularizer;
pub use rnn::Rnn;
pub use seq2seq::{Hypothesis, Seq2Seq};
pub use spectrogram::Spectrogram;
pub use time_distributed::TimeDistributed;
pub(crate) use unrolled::{StepState, unroll};

use crate::autograd::{Tape, Var};
use crate::{Error, Result};

/// A layer of a model: it has parameters, and maps one value to another.
///
/// Each layer of this crate has a `forward` of its own, too, which needs no import of this trait. Those
/// with parameters have a `build(params, input_size)`, which gives the layer back. An [`Embedding`]'s
/// takes no size, as a frame is one token; an [`Attention`]'s takes the two of what it compares.
///
/// A layer of your own needs no kernel: build its `forward` from the layers that there are, from
/// [`add`], [`multiply`] and [`concat()`], or, for what none of them computes, with [`Tape::custom`];
/// [`Params::insert`] gives it parameters, and [`crate::Error::custom`] carries its errors. The
/// methods without a body are all that it has to say; the others tell a [`crate::Sequential`] of what
/// few layers do.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Layer, Lstm, Params, add};
/// use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Var};
///
/// /// y = x + layer(x): a way around a layer (He et al. 2016).
/// struct Residual<L>(L);
///
/// impl<L: Layer> Layer for Residual<L> {
///     fn kind(&self) -> &'static str {
///         "residual"
///     }
///     fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
///         self.0.build_on(params, input_size)?;
///         match self.0.output_size() {
///             size if size == input_size => Ok(()),
///             size => Err(Error::custom(format!("{size} features do not add to {input_size}"))),
///         }
///     }
///     fn output_size(&self) -> usize {
///         self.0.output_size()
///     }
///     fn gives_sequence(&self, takes_sequence: bool) -> bool {
///         self.0.gives_sequence(takes_sequence)
///     }
///     fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
///         add(tape, x, &self.0.forward(tape, x)?)
///     }
///     fn parameter_count(&self) -> usize {
///         self.0.parameter_count()
///     }
/// }
///
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(8).return_sequences())
///     .add(Residual(Lstm::new(8).return_sequences()))
///     .add(Dense::new(1));
/// model.build(3)?;
/// # Ok::<(), Error>(())
/// ```
pub trait Layer: Send + Sync {
    /// What [`crate::Sequential::summary`] and the parameters' names call it: `lstm`, `dense`.
    fn kind(&self) -> &'static str;

    /// Puts the layer's parameters into `params`, once it is known how many features a value
    /// has. A layer whose parameters are there already keeps them: [`Params::owns`].
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, [`Error::Features`] if the layer was built for another
    /// `input_size` before.
    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()>;

    /// As [`Layer::build_on`], where the layers before set how many timesteps a value has: for a layer that goes by
    /// them, as [`Flatten`], and for one that wraps others and hands this on.
    ///
    /// # Errors
    /// As [`Layer::build_on`].
    fn build_for(
        &mut self,
        params: &Params,
        input_size: usize,
        _timesteps: Option<usize>,
    ) -> Result<()> {
        self.build_on(params, input_size)
    }

    /// The features of an output.
    fn output_size(&self) -> usize;

    /// Whether the output is a sequence, given whether the input is one.
    fn gives_sequence(&self, takes_sequence: bool) -> bool;

    /// Runs the layer.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], and [`Error::Rank`] and [`Error::Shape`] if `x` is not what the
    /// layer was built for.
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var>;

    /// The number of parameters; 0 before `build_on`.
    fn parameter_count(&self) -> usize;

    /// The layer's options as a text, which [`crate::Sequential::save`] keeps; not its parameters. For a layer
    /// of your own, of any form: [`Layers::register`] has the function that reads it.
    ///
    /// # Errors
    /// [`Error::Unsupported`], by default.
    fn config(&self) -> Result<String> {
        Err(Error::Unsupported {
            what: self.kind(),
            with: "Sequential::save",
            help: "let the layer write its options in Layer::config, and tell by Layers::register how to \
                   read them; or keep the parameters alone, by Params::save",
        })
    }

    /// Runs the layer up to its last activation, and returns that too: losses take the logits, since
    /// softmax and sigmoid round away what they need. By default the whole layer runs.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        Ok((self.forward(tape, x)?, Activation::Linear))
    }

    /// The last activation that the layer applies; `None` if its outputs have the meaning of its inputs, as
    /// is the default for a layer without parameters.
    fn activation(&self) -> Option<Activation> {
        (self.parameter_count() > 0).then_some(Activation::Linear)
    }

    /// Checks the values of a model's input; by default all are taken.
    ///
    /// # Errors
    /// [`Error::Token`] for one that is no token, or [`Error::custom`].
    fn check_input(&self, _values: &[f32]) -> Result<()> {
        Ok(())
    }

    /// Whether the layer takes tokens, as [`crate::data::Sequences::from_tokens`] makes them: a
    /// [`crate::Sequential`] then gives its first layer whole numbers `[B,T]`, not floats `[B,T,1]`.
    fn takes_tokens(&self) -> bool {
        false
    }

    /// The timesteps of the output, if the layer sets them.
    fn fixed_timesteps(&self) -> Option<usize> {
        None
    }

    /// The timesteps of the output for an input of so many, if both are sequences: by default as many, or those that
    /// the layer sets. 0 where an input of so many is too short.
    fn output_timesteps(&self, timesteps: usize) -> usize {
        self.fixed_timesteps().unwrap_or(timesteps)
    }

    /// Whether rows are the first axis of input and output, as in a [`crate::Sequential`].
    fn is_batch_first(&self) -> bool {
        true
    }

    /// Whether the layer remembers a state from batch to batch: all batches then have as many rows.
    fn is_stateful(&self) -> bool {
        false
    }

    /// The rows of the batch whose state the layer remembers, if it remembers one.
    fn state_rows(&self) -> Option<usize> {
        None
    }

    /// Replaces the state of a stateful layer, and returns the state before. A default
    /// [`LayerState`] resets the layer. A layer without a state returns what it was given.
    fn swap_state(&self, state: LayerState) -> LayerState {
        state
    }

    /// Takes the next frame of each row: what [`crate::Sequential::stepper`] calls, on a tape that does not
    /// record. `x` is `[B,1,F]`, or `[B,F]` behind a layer that gives no sequence; of a first layer that takes
    /// tokens `[B,1]`. `state` is what the layer returned for the frame before, a default one at first; a row that
    /// the mask of `x` leaves out keeps its state. Returns the output, `[B,1,..]` or, if the layer gives no
    /// sequence, `[B,..]`, and the state after the frame.
    ///
    /// A layer that computes each step by itself runs [`Layer::forward`], and returns the state as it came. One
    /// that wraps another hands on that one's:
    ///
    /// ```
    /// use wgpu_lstm::nn::{Layer, LayerState, Lstm, Params, add};
    /// use wgpu_lstm::{Device, Result, Sequential, Tape, Var};
    ///
    /// /// y = x + layer(x).
    /// struct Residual<L>(L);
    ///
    /// impl<L: Layer> Layer for Residual<L> {
    ///     fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
    ///         let (y, state) = self.0.step(tape, x, state)?;
    ///         Ok((add(tape, x, &y)?, state))
    ///     }
    ///     // …
    /// #   fn kind(&self) -> &'static str { "residual" }
    /// #   fn build_on(&mut self, params: &Params, size: usize) -> Result<()> { self.0.build_on(params, size) }
    /// #   fn output_size(&self) -> usize { self.0.output_size() }
    /// #   fn gives_sequence(&self, takes: bool) -> bool { self.0.gives_sequence(takes) }
    /// #   fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> { add(tape, x, &self.0.forward(tape, x)?) }
    /// #   fn parameter_count(&self) -> usize { self.0.parameter_count() }
    /// }
    ///
    /// let lstm = Lstm::new(3).return_sequences();
    /// let mut model = Sequential::new(&Device::auto()?).add(Residual(lstm));
    /// model.build(3)?;
    /// let mut stepper = model.stepper(1)?;
    /// let stream = stepper.join()?;
    /// assert_eq!(stepper.step(&[(stream, &[0.1, 0.2, 0.3])])?.row(0).len(), 3);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`], by default: the layer may need the whole sequence. Else those of
    /// [`Layer::forward`].
    fn step(&self, _tape: &Tape, _x: &Var, _state: LayerState) -> Result<(Var, LayerState)> {
        Err(Error::Unsupported {
            what: "Sequential::stepper",
            with: self.kind(),
            help: "such a layer takes the whole sequence at once: predict with all frames so far, or leave it \
                   out; a layer of your own that takes frame by frame says so in Layer::step",
        })
    }

    /// Whether the layer takes packed values. Only our layers can override this, whose crate can name the argument.
    #[doc(hidden)]
    fn takes_packed(&self, _: own::Own) -> bool {
        false
    }

    /// What all values are of the frames that the layer leaves out, if it does. Only our layers override this.
    #[doc(hidden)]
    fn masked_value(&self, _: own::Own) -> Option<f32> {
        None
    }

    /// Checks what can be told before the layer is built. Only layers of this crate can override this.
    #[doc(hidden)]
    fn well_formed(&self, own: own::Own) -> Result<()> {
        self.inner(own).into_iter().try_for_each(|layer| layer.well_formed(own))
    }

    /// The layer as one that can compute a cross-entropy without holding its outputs. Only our layers override this.
    #[doc(hidden)]
    fn head(&self, _: own::Own) -> Option<&Dense> {
        None
    }

    /// The layer as one that decides on whole paths of tags. Only layers of this crate can override this.
    #[doc(hidden)]
    fn crf(&self, _: own::Own) -> Option<&Crf> {
        None
    }

    /// The layer as one that runs without tensors on the CPU. Only layers of this crate can override this.
    #[doc(hidden)]
    fn stack(&self, _: own::Own, _params: &Params) -> Result<Option<own::Stackable>> {
        Ok(None)
    }

    /// The layer as one that can run step by step. Only layers of this crate can override this.
    #[doc(hidden)]
    fn recurrent(&self, _: own::Own) -> Option<&dyn unrolled::Recurrent> {
        None
    }

    /// How the device runs the layer, and why, for batches of these shapes: see [`crate::Sequential::explain`].
    /// `None` where each frame is computed by itself. Only layers of this crate can override this.
    #[doc(hidden)]
    fn explain(
        &self,
        _: own::Own,
        _params: &Params,
        _shape: [usize; 3],
    ) -> Result<Option<[String; 2]>> {
        Ok(None)
    }

    /// Whether the layer computes over frames that a mask leaves out, as no step can. Only our layers override this.
    #[doc(hidden)]
    fn sees_masked_frames(&self, _: own::Own) -> bool {
        false
    }

    /// The layers inside of the layer. Only layers of this crate can override this.
    #[doc(hidden)]
    fn inner(&self, _: own::Own) -> Vec<&dyn Layer> {
        Vec::new()
    }

    /// The weights that may be of 8 bits, those of the layers inside, too. Only layers of this crate can override this.
    #[doc(hidden)]
    fn quantizable(&self, own: own::Own) -> Vec<ParamId> {
        self.inner(own).into_iter().flat_map(|layer| layer.quantizable(own)).collect()
    }

    /// One of the layer's parameters, once it is built. Only layers of this crate can override this.
    #[doc(hidden)]
    fn parameter(&self, _: own::Own) -> Option<ParamId> {
        None
    }
}

/// Types that only this crate can name.
mod own {
    use crate::ops::lstm::{CellConfig, StackLayer};

    #[derive(Debug, Clone, Copy)]
    pub struct Own;

    /// Layers of LSTM cells, whose weights are on the CPU.
    pub struct Stackable {
        pub(super) layers: Vec<StackLayer>,
        pub(super) config: CellConfig,
        pub(super) sequences: bool,
        /// Whether the output repeats at a step that a mask leaves out; else it is 0.
        pub(super) repeats: bool,
    }
}

pub(crate) use own::Own;

/// The options of a layer of this crate, for [`Layer::config`].
fn to_config(layer: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(layer).map_err(Error::custom)
}

/// The state of a layer between batches or frames: see [`Layer::swap_state`] and [`Layer::step`]. The layers of
/// this crate make it; a layer of your own that wraps one of them hands it on.
#[derive(Debug, Clone, Default)]
pub struct LayerState(pub(crate) Option<Vec<LstmState>>);

/// Whether a layer has been built with these `Params` already: it then keeps its parameters, which its
/// clones share. `before` is one of its parameters, and the input size that it was built for.
fn is_built(params: &Params, before: Option<(ParamId, usize)>, input_size: usize) -> Result<bool> {
    let Some((_, built_for)) = before.filter(|(id, _)| params.owns(*id)) else {
        return Ok(false);
    };
    if built_for == input_size {
        return Ok(true);
    }
    Err(Error::Features {
        op: "Layer::build_on",
        expected: built_for,
        found: input_size,
        help: "the layer was built for so many with these Params, and keeps its parameters",
    })
}

/// The error for a batch with another number of rows than the state of a stateful layer.
pub(crate) fn other_rows(op: &'static str, expected: usize, found: usize) -> Error {
    let what = "rows in the batch of a stateful layer";
    let help = "as many as the batch before had; or reset_state() first";
    Error::State { op, what, expected, found, help }
}

/// Checks that a size is at least 1 and that no index overflows.
fn check_size(option: &'static str, size: usize) -> Result<()> {
    if (1..=1 << 24).contains(&size) {
        return Ok(());
    }
    Err(Error::Option { option, found: size.to_string(), expected: "1 to 16,777,216".into() })
}

/// Checks that a weight of this size can be bound on a GPU: at most 4 GiB.
fn check_weights(rows: usize, columns: usize) -> Result<()> {
    check_floats("a weight", rows, columns)
}

/// Checks that `rows` by `columns` floats can be bound on a GPU: at most 4 GiB.
fn check_floats(what: &'static str, rows: usize, columns: usize) -> Result<()> {
    let bytes = (rows as u64).saturating_mul(columns as u64).saturating_mul(4);
    let limit = 1 << 32;
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, bytes, limit })
}
