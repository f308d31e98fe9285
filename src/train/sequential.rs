//! A model of layers in sequence.

use super::batch::{Counting, Rows};
use super::layer_check::{check_layer, check_output};
use super::loss::Loss;
use super::metrics::Metric;
use super::optim::Optimizer;
use super::prediction::Meaning;
use super::summary;
use crate::autograd::{Params, Tape, Var};
use crate::nn::{Activation, Flow, IntoLayer, Layer, LayerState, Own, unpacked};
use crate::{Device, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A model of layers in sequence, with its parameters, loss and optimizer.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets};
/// use wgpu_lstm::nn::{Activation, Dense, Lstm};
/// use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
/// use wgpu_lstm::{Device, Sequential};
///
/// let x = Sequences::from_array(&[0.5; 10 * 4 * 2], [10, 4, 2])?;
/// let y = Targets::values([1.0; 10], 1);
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(16))
///     .add(Dense::new(1).activation(Activation::Sigmoid));
/// model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
/// let history = model.fit(&x, &y, Fit::new().epochs(2).validation_split(0.2).quiet())?;
/// assert_eq!(history.epochs.len(), 2);
/// assert_eq!(model.predict(&x)?.rows(), 10);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[must_use = "`add` and `seed` give the model back"]
pub struct Sequential {
    pub(super) params: Params,
    /// Shared with steppers, once they are built.
    pub(super) layers: Vec<Arc<dyn Layer>>,
    /// For each layer that is built, the numbers of the parameters that its build inserted.
    pub(super) built: Vec<std::ops::Range<usize>>,
    pub(super) input_size: Option<usize>,
    pub(super) compiled: Option<Compiled>,
    /// What the program keeps with the model, as JSON.
    pub(super) kept: BTreeMap<String, String>,
    /// Whether the outputs of a model that is not compiled are logits, as its file says.
    pub(super) logits: bool,
}

/// The arguments of [`Sequential::compile`].
pub(super) struct Compiled {
    /// `None` while `fit` runs: its callbacks predict and evaluate with the others.
    pub(super) trainer: Option<Trainer>,
    pub(super) loss: Loss,
    pub(super) metrics: Vec<Metric>,
}

/// What the training of a compiled model changes, besides the model.
pub(super) struct Trainer {
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) position: Position,
}

/// How far the training of a compiled model is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The epochs done.
    pub(super) epochs: u64,
    /// The steps made.
    pub(super) steps: u64,
}

impl Sequential {
    /// A model without layers, on this device.
    pub fn new(device: &Device) -> Self {
        let params = Params::new(device);
        Self {
            params,
            layers: Vec::new(),
            built: Vec::new(),
            input_size: None,
            compiled: None,
            kept: BTreeMap::new(),
            logits: false,
        }
    }

    /// Sets the seed of the first values of parameters (0 by default), for layers that are not built yet.
    pub fn seed(self, seed: u64) -> Self {
        self.params.set_seed(seed);
        self
    }

    /// Lets all layers begin as PyTorch's do, but for what they set themselves: [`Params::pytorch_init`]. Call it before
    /// layers are built.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, nn::{Dense, Lstm}};
    /// let mut model = Sequential::new(&Device::auto()?).pytorch_init().add(Lstm::new(16)).add(Dense::new(2));
    /// model.build(3)?;
    /// for name in model.params().names() {
    ///     // Uniform within 1/sqrt(16); the LSTM's bias is the sum of PyTorch's two.
    ///     let most = if name == "lstm.bias_l0" { 0.5 } else { 0.25 };
    ///     assert!(model.params().get(&name)?.iter().all(|value| *value != 0.0 && value.abs() <= most));
    /// }
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn pytorch_init(mut self) -> Self {
        self.params = self.params.pytorch_init();
        self
    }

    /// The layers, in order.
    #[cfg_attr(
        not(all(feature = "keras", feature = "onnx", feature = "pytorch")),
        allow(dead_code, reason = "of `io`")
    )]
    pub(crate) fn layers(&self) -> &[Arc<dyn Layer>] {
        &self.layers
    }

    /// The names of a layer's parameters in [`Sequential::params`], in the order of its build; none before.
    #[cfg_attr(
        not(all(feature = "keras", feature = "onnx", feature = "pytorch")),
        allow(dead_code, reason = "of `io`")
    )]
    pub(crate) fn parameter_names(&self, layer: usize) -> Vec<String> {
        self.names_of_layer(layer)
    }

    /// The features of a frame, of a model whose layers are all built.
    ///
    /// # Errors
    /// [`Error::NotBuilt`].
    pub(crate) fn features(&self) -> Result<usize> {
        let built = self.built.len() == self.layers.len() && !self.layers.is_empty();
        self.input_size.filter(|_| built).ok_or_else(|| self.not_built())
    }

    /// Appends a layer.
    ///
    /// A layer that was built with the model's own [`Sequential::params`] keeps its parameters, so that a
    /// clone of it shares the trained values: for [`crate::nn::Lstm::stepper`], for example.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Sequential, nn::{Dense, Lstm}};
    /// let model = Sequential::new(&Device::auto()?);
    /// let lstm = Lstm::new(8).build(model.params(), 3)?;
    /// let mut model = model.add(lstm.clone()).add(Dense::new(2));
    /// model.build(3)?;
    /// let mut stepper = lstm.stepper(model.params(), 1)?;
    /// # let _ = stepper.join()?;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "Keras' name; a model is no number")]
    pub fn add(mut self, layer: impl IntoLayer) -> Self {
        self.layers.push(layer.into_layer().into());
        self
    }

    /// Makes the parameters, for sequences of `input_size` features: in place, since the model has
    /// [`Sequential::params`] of its own. `fit` does so itself.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, [`Error::Features`] if the model was built for another size,
    /// [`Error::Unsupported`] for a time-major layer, [`Error::NotBuilt`] if there are no layers, and
    /// those of the layers' own builds. After any of them no layer is built that was not before.
    pub fn build(&mut self, input_size: usize) -> Result<()> {
        if let Some(built_for) = self.input_size.filter(|&size| size != input_size) {
            return Err(other_features("Sequential::build", built_for, input_size));
        }
        if self.layers.is_empty() {
            return Err(NO_LAYERS);
        }
        if self.layers.iter().any(|layer| !layer.is_batch_first()) {
            return Err(Error::Unsupported {
                what: "Sequential",
                with: "Lstm::time_major",
                help: "its layers take sequences as [B,T,F]",
            });
        }
        let before = self.params.mark();
        let (built, new) = self.layers.split_at_mut(self.built.len());
        let mut inserted = Vec::new();
        let mut flow = Flow { size: input_size, sequence: true, timesteps: None };
        built.iter().try_for_each(|layer| flow.pass(layer.as_ref()))?;
        for layer in new {
            let first = self.params.mark();
            // What is not built belongs to the model alone.
            let own = Arc::get_mut(layer).ok_or(NO_LAYERS)?;
            let built = flow.build(own, &self.params).and_then(|()| check_layer(own));
            if let Err(error) = built {
                // The layers before it are not built either.
                self.params.drop_since(before);
                return Err(error);
            }
            inserted.push(first..self.params.mark());
        }
        self.input_size = Some(input_size);
        self.built.extend(inserted);
        Ok(())
    }

    /// Sets optimizer, loss and metrics. A training begins: the next `fit` counts its epochs and steps from 0.
    pub fn compile(
        &mut self,
        optimizer: impl Optimizer + 'static,
        loss: Loss,
        metrics: &[Metric],
    ) -> &mut Self {
        let trainer = Trainer { optimizer: Box::new(optimizer), position: Position::default() };
        let (trainer, metrics) = (Some(trainer), metrics.to_vec());
        self.compiled = Some(Compiled { trainer, loss, metrics });
        self
    }

    /// The model's parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A table of the layers, the shapes that come out of them and their parameters; and which are frozen.
    pub fn summary(&self) -> String {
        let frozen = (&self.frozen_layers()[..], self.params.frozen_count());
        summary::table(&self.layers, self.input_size.is_some(), frozen)
    }

    /// Runs all layers.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], and those of the layers.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        if self.layers.is_empty() {
            return Err(NO_LAYERS);
        }
        Self::run(&self.all(), tape, x)
    }

    /// The layers.
    pub(super) fn all(&self) -> Vec<&dyn Layer> {
        self.layers.iter().map(|layer| &**layer as &dyn Layer).collect()
    }

    fn run(layers: &[&dyn Layer], tape: &Tape, x: &Var) -> Result<Var> {
        layers.iter().try_fold(x.clone(), |x, &layer| {
            let x = if layer.takes_packed(Own) { x } else { unpacked(tape, &x)? };
            let y = layer.forward(tape, &x)?;
            check_output(layer, &x, &y)?;
            Ok(y)
        })
    }

    /// The last layer, and its input: what the others make of `x`.
    pub(super) fn before_last<'a>(
        layers: &[&'a dyn Layer],
        tape: &Tape,
        x: &Var,
    ) -> Result<(&'a dyn Layer, Var)> {
        let Some((&last, layers)) = layers.split_last() else {
            return Err(NO_LAYERS);
        };
        if layers.is_empty() && last.takes_tokens() {
            // Packed tokens it takes as they are; what it makes of them is unpacked.
            return Ok((last, x.clone()));
        }
        Ok((last, unpacked(tape, &Self::run(layers, tape, x)?)?))
    }

    /// Runs all layers up to the last activation, and returns that too.
    pub(super) fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        let (last, x) = Self::before_last(&self.all(), tape, x)?;
        Self::last_logits(last, tape, &x)
    }

    pub(super) fn last_logits(last: &dyn Layer, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        let (logits, activation) = last.forward_logits(tape, x)?;
        let logits = unpacked(tape, &logits)?;
        check_output(last, x, &logits)?;
        Ok((logits, activation))
    }

    /// The last activation that the model applies.
    pub(super) fn activation(&self) -> Activation {
        let mut activations = self.layers.iter().rev().filter_map(|layer| layer.activation());
        activations.next().unwrap_or(Activation::Linear)
    }

    /// What the outputs mean.
    pub(super) fn meaning(&self) -> Meaning {
        let loss = self.compiled.as_ref().map(|compiled| &compiled.loss);
        match Meaning::of(self.activation(), loss) {
            Meaning::Numbers if loss.is_none() && self.logits => Meaning::Logits,
            meaning => meaning,
        }
    }

    /// The rows of output for each sequence.
    pub(super) fn rows(&self) -> Rows {
        self.layers.iter().fold(Rows::Frames, |rows, layer| {
            match (layer.gives_sequence(rows != Rows::One), layer.fixed_timesteps()) {
                (false, _) => Rows::One,
                (true, Some(n)) => Rows::Fixed(n),
                (true, None) if rows == Rows::One => Rows::Frames,
                (true, None) => rows,
            }
        })
    }

    /// The rows of values for a sequence of so many frames: see [`Self::rows`].
    pub(super) fn rows_of(&self, frames: usize) -> usize {
        let mut steps = Some(frames);
        for layer in &self.layers {
            let before = steps.unwrap_or(1);
            let sequence = layer.gives_sequence(steps.is_some());
            steps = sequence.then(|| layer.output_timesteps(before));
        }
        steps.unwrap_or(1)
    }

    /// Checks that what has a value for each frame of a sequence knows how many values that is.
    pub(super) fn check_rows(&self, op: &'static str) -> Result<()> {
        // Numbers that no stride divides, and beside which no window is wide.
        let changed = |frames| self.rows_of(frames) != frames;
        if self.rows() == Rows::Frames && [100_000_007, 100_000_037].into_iter().any(changed) {
            return Err(Error::Unsupported {
                what: op,
                with: "outputs that are sequences of other lengths than the inputs",
                help: "which frame a target or output belongs to is not known: let the model give one frame, by a \
                       Pool or the last of an LSTM, take Padding::Same with a stride of 1, or Sequential::forward",
            });
        }
        Ok(())
    }

    /// The values that the loss compares with the targets, of the last layer and its input: logits where the
    /// last activation allows it.
    pub(super) fn last_for_loss(
        &self,
        last: &dyn Layer,
        tape: &Tape,
        x: &Var,
        loss: &Loss,
    ) -> Result<Var> {
        let (logits, activation) = Self::last_logits(last, tape, x)?;
        let bad = |expected, help| {
            let found = format!("{activation:?}{help}");
            Err(Error::Loss { loss: loss.name(), expected, found })
        };
        let behind = self.activation();
        if activation == Activation::Linear
            && matches!(behind, Activation::Sigmoid | Activation::Softmax)
            && loss.of_logits()
        {
            // Pooled or dropped probabilities are no logits.
            return Err(Error::Loss {
                loss: loss.name(),
                expected: "the sigmoid or softmax in the last layer, or none",
                found: format!("{behind:?} in a layer before the last"),
            });
        }
        match (loss, activation) {
            (
                Loss::CrossEntropy | Loss::CrossEntropyWith(_) | Loss::Ctc(_),
                Activation::Softmax | Activation::Linear,
            )
            | (
                Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWith(_),
                Activation::Sigmoid | Activation::Linear,
            ) => Ok(logits),
            (Loss::CrossEntropy | Loss::CrossEntropyWith(_), _) => {
                let help = match activation {
                    Activation::Sigmoid => {
                        "; where several classes may hold at once, take BinaryCrossEntropy"
                    }
                    _ => "",
                };
                bad("a last layer with softmax, or without activation", help)
            }
            (Loss::Ctc(_), _) => bad("a last layer with softmax, or without activation", ""),
            (Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWith(_), _) => {
                let help = match activation {
                    Activation::Softmax => {
                        "; where one of several classes holds, take CrossEntropy"
                    }
                    _ => "",
                };
                bad("a last layer with sigmoid, or without activation", help)
            }
            _ => activation.forward(tape, &logits),
        }
    }

    /// Resets the states of all stateful layers.
    pub fn reset_state(&self) {
        self.swap_states(Vec::new());
    }

    /// Replaces the states of the stateful layers, and returns those before. A layer for which `states` has
    /// none is reset.
    pub(super) fn swap_states(&self, states: Vec<LayerState>) -> Vec<LayerState> {
        let states = states.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let pairs = self.layers.iter().zip(states);
        pairs.map(|(layer, state)| layer.swap_state(state.unwrap_or_default())).collect()
    }

    /// How batches are made for this model, without weights.
    pub(super) fn counting(&self) -> Counting<'static> {
        let first =
            |takes: fn(&dyn Layer) -> bool| self.layers.first().is_some_and(|l| takes(l.as_ref()));
        let (tokens, packed) = (first(|l| l.takes_tokens()), first(|l| l.takes_packed(Own)));
        let masked = self.layers.first().and_then(|layer| layer.masked_value(Own));
        Counting { tokens, packed, masked, ..Counting::default() }
    }
}

impl Sequential {
    /// That the model has no parameters yet, or not even layers.
    pub(super) fn not_built(&self) -> Error {
        match self.layers.is_empty() {
            true => NO_LAYERS,
            false => Error::NotBuilt { what: "the model", call: "fit or build" },
        }
    }
}

/// That a model has no layers.
pub(super) const NO_LAYERS: Error =
    Error::NotBuilt { what: "a Sequential without layers", call: "add" };

/// That sequences have other features than a model takes.
pub(super) fn other_features(op: &'static str, expected: usize, found: usize) -> Error {
    let help = "the model was made for frames of so many: give it the columns that it learned from, in \
                their order";
    Error::Features { op, expected, found, help }
}
