//! A model of layers one after the other, with Keras' methods.

use super::functions::unpacked;
use super::prediction::{Meaning, Prediction};
use super::{Activation, Layer, LayerState, Params, summary};
use crate::data::{self, Batch, BatchTargets, Counting, Rows, Sequences, Targets};
use crate::ops::accuracy;
use crate::tape::{Tape, Var};
use crate::train::{Epoch, Evaluation, Fit, History, Loss, Metric, Optimizer, Progress, Total};
use crate::{Device, Error, Result, loss};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

/// Layers one after the other.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets};
/// use wgpu_lstm::nn::{Activation, Dense, Lstm, Sequential};
/// use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
/// use wgpu_lstm::Device;
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
pub struct Sequential {
    params: Params,
    layers: Vec<Box<dyn Layer>>,
    /// Of the layers, how many have parameters.
    built: usize,
    input_size: Option<usize>,
    compiled: Option<Compiled>,
}

struct Compiled {
    optimizer: Box<dyn Optimizer>,
    loss: Loss,
    metrics: Vec<Metric>,
}

impl Sequential {
    /// A model without layers, on this device.
    pub fn new(device: &Device) -> Self {
        let params = Params::new(device);
        Self { params, layers: Vec::new(), built: 0, input_size: None, compiled: None }
    }

    /// The seed of the parameters' first values (0 if none is given). For the layers that are
    /// not built yet.
    pub fn seed(self, seed: u64) -> Self {
        Self { params: self.params.with_seed(seed), ..self }
    }

    /// Adds a layer behind the others.
    ///
    /// A layer that was built with the model's own [`Sequential::params`] keeps its parameters, so that
    /// a clone of it shares what is trained: for [`super::Lstm::stepper`], say.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Dense, Lstm, Sequential}};
    /// let model = Sequential::new(&Device::auto()?);
    /// let lstm = Lstm::new(8).build(model.params(), 3)?;
    /// let mut model = model.add(lstm.clone()).add(Dense::new(2));
    /// model.build(3)?;
    /// let mut stepper = lstm.stepper(model.params(), 1)?;
    /// # let _ = stepper.join()?;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "Keras' name; a model is no number")]
    pub fn add(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// Makes the parameters, for sequences of `input_size` features. `fit` does so itself.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, for a time-major layer or if the model was built for another
    /// size, [`Error::NotBuilt`] if there are no layers.
    pub fn build(&mut self, input_size: usize) -> Result<()> {
        if let Some(built_for) = self.input_size.filter(|&size| size != input_size) {
            return Err(Error::Option {
                option: "the sequences' features",
                found: input_size.to_string(),
                expected: format!("{built_for}, for which the model was built"),
            });
        }
        if self.layers.is_empty() {
            return Err(Error::NotBuilt { what: "a Sequential without layers", call: "add" });
        }
        if self.layers.iter().any(|layer| !layer.is_batch_first()) {
            return Err(Error::Option {
                option: "a layer of a Sequential",
                found: "a time-major one".into(),
                expected: "without time_major: the sequences come as [B,T,F]".into(),
            });
        }
        let before = self.params.mark();
        let (built, new) = self.layers.split_at_mut(self.built);
        let mut size = built.last().map_or(input_size, |layer| layer.output_size());
        for layer in new {
            let built =
                layer.build_on(&self.params, size).and_then(|()| check_layer(layer.as_ref()));
            if let Err(error) = built {
                // The layers before it are not built either.
                self.params.drop_since(before);
                return Err(error);
            }
            size = layer.output_size();
        }
        self.input_size = Some(input_size);
        self.built = self.layers.len();
        Ok(())
    }

    /// Says how the model is trained.
    pub fn compile(
        &mut self,
        optimizer: impl Optimizer + 'static,
        loss: Loss,
        metrics: &[Metric],
    ) -> &mut Self {
        let optimizer = Box::new(optimizer);
        self.compiled = Some(Compiled { optimizer, loss, metrics: metrics.to_vec() });
        self
    }

    /// The model's parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A table of the layers, the shapes that come out of them and their parameters.
    pub fn summary(&self) -> String {
        summary::table(&self.layers, self.input_size.is_some())
    }

    /// Runs all layers.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], and those of the layers.
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Self::run(&self.layers, tape, x)
    }

    fn run(layers: &[Box<dyn Layer>], tape: &Tape, x: &Var) -> Result<Var> {
        layers.iter().try_fold(x.clone(), |x, layer| {
            let x = if layer.takes_packed() { x } else { unpacked(tape, &x)? };
            let y = layer.forward(tape, &x)?;
            check_output(layer.as_ref(), &x, &y)?;
            Ok(y)
        })
    }

    /// Runs all layers up to the last activation, and says which that is.
    fn forward_logits(&self, tape: &Tape, x: &Var) -> Result<(Var, Activation)> {
        let Some((last, layers)) = self.layers.split_last() else {
            return Err(Error::NotBuilt { what: "a Sequential without layers", call: "add" });
        };
        let x = unpacked(tape, &Self::run(layers, tape, x)?)?;
        let (logits, activation) = last.forward_logits(tape, &x)?;
        check_output(last.as_ref(), &x, &logits)?;
        Ok((logits, activation))
    }

    /// The activation that the model's numbers come from at last.
    fn activation(&self) -> Activation {
        let mut activations = self.layers.iter().rev().filter_map(|layer| layer.activation());
        activations.next().unwrap_or(Activation::Linear)
    }

    /// What comes out for each sequence.
    fn rows(&self) -> Rows {
        self.layers.iter().fold(Rows::Frames, |rows, layer| {
            match (layer.gives_sequence(rows != Rows::One), layer.fixed_timesteps()) {
                (false, _) => Rows::One,
                (true, Some(n)) => Rows::Fixed(n),
                (true, None) if rows == Rows::One => Rows::Frames,
                (true, None) => rows,
            }
        })
    }

    /// What the loss compares with the targets: logits where the last activation allows it.
    fn forward_for_loss(&self, tape: &Tape, x: &Var, loss: &Loss) -> Result<Var> {
        let (logits, activation) = self.forward_logits(tape, x)?;
        let bad = |expected| {
            Err(Error::Loss { loss: loss.name(), expected, found: format!("{activation:?}") })
        };
        let behind = self.activation();
        if activation == Activation::Linear
            && matches!(behind, Activation::Sigmoid | Activation::Softmax)
            && (loss.of_classes().is_some() || *loss == Loss::BinaryCrossEntropy)
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
                Loss::CrossEntropy | Loss::CrossEntropyWith(_),
                Activation::Softmax | Activation::Linear,
            )
            | (Loss::BinaryCrossEntropy, Activation::Sigmoid | Activation::Linear) => Ok(logits),
            (Loss::CrossEntropy | Loss::CrossEntropyWith(_), _) => {
                bad("a last layer with softmax, or without activation")
            }
            (Loss::BinaryCrossEntropy, _) => {
                bad("a last layer with sigmoid, or without activation")
            }
            _ => activation.forward(tape, &logits),
        }
    }

    /// Trains the model on sequences `x` with targets `y`.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `compile`; [`Error::Count`] if there is not one target for
    /// each sequence (or frame, if the model gives sequences); [`Error::Label`];
    /// [`Error::Option`] for an option that makes no sense; [`Error::Loss`] if the loss fits
    /// neither the targets nor the last layer; [`Error::NotFinite`] if the loss is no longer a
    /// number; and those of the device. Data are checked before the first step; what was trained
    /// up to a later error stays. Each call shuffles alike: see [`Fit::seed`].
    pub fn fit(&mut self, x: &Sequences, y: &Targets, options: Fit<'_>) -> Result<History> {
        let Some(mut compiled) = self.compiled.take() else {
            return Err(Error::NotBuilt { what: "the training", call: "compile" });
        };
        // A layer of the user's may panic: what was compiled comes back all the same.
        let result = catch_unwind(AssertUnwindSafe(|| {
            // All that can be checked comes before the first parameter is made or moved.
            let rows = self.split(x, y, &options, &compiled.loss)?;
            self.build(x.features())?;
            self.run_epochs(x, y, options, rows, &mut compiled)
        }));
        self.compiled = Some(compiled);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Lets all stateful layers begin anew.
    pub fn reset_state(&self) {
        self.swap_states(Vec::new());
    }

    /// What the stateful layers remember, in exchange for what they are to remember: nothing, where
    /// there is nothing for a layer.
    fn swap_states(&self, states: Vec<LayerState>) -> Vec<LayerState> {
        let states = states.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let pairs = self.layers.iter().zip(states);
        pairs.map(|(layer, state)| layer.swap_state(state.unwrap_or_default())).collect()
    }

    /// Checks that all batches of so many sequences have as many rows, where a layer remembers a state
    /// for each, and as many as that state, if it `goes_on` from there.
    fn check_batches(&self, sequences: usize, batch_size: usize, goes_on: bool) -> Result<()> {
        if batch_size == 0 {
            let (option, expected) = ("batch_size", "at least 1".into());
            return Err(Error::Option { option, found: "0".into(), expected });
        }
        if sequences == 0 || !self.layers.iter().any(|layer| layer.is_stateful()) {
            return Ok(());
        }
        let rows = batch_size.min(sequences);
        if !sequences.is_multiple_of(rows) {
            return Err(Error::Option {
                option: "the batch size of a model with a stateful layer",
                found: format!("{batch_size} for {sequences} sequences"),
                expected:
                    "one that divides them: each row of a batch goes on where that row of the \
                           batch before ended"
                        .into(),
            });
        }
        let mut states = self.layers.iter().filter_map(|layer| layer.state_rows());
        match states.find(|&found| found != rows && goes_on) {
            Some(other) => Err(Error::Option {
                option: "the rows of a stateful layer's batch",
                found: rows.to_string(),
                expected: format!("{other}, as in the batch before; or reset_state() first"),
            }),
            None => Ok(()),
        }
    }

    fn run_epochs(
        &self,
        x: &Sequences,
        y: &Targets,
        options: Fit<'_>,
        (mut rows, validation_rows): (Vec<usize>, Vec<usize>),
        compiled: &mut Compiled,
    ) -> Result<History> {
        let mut history = History::default();
        let metrics = compiled.metrics.clone();
        let classes = compiled.loss.of_classes();
        let counting = Counting {
            samples: options.sample_weights,
            classes: classes.as_ref(),
            ..self.counting()
        };
        let mut progress = Progress::new(options.epochs, rows.len(), &metrics, options.quiet);
        let device = self.params.device();
        // What a custom loop may have left there.
        self.params.zero_gradients()?;
        for epoch in 0..options.epochs {
            let began = Instant::now();
            progress.begin(epoch);
            if options.shuffle {
                let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
                rng.set_stream(epoch as u64);
                rows.sort_unstable();
                rows.shuffle(&mut rng);
            }
            let mut totals = Totals::new(&device, &metrics)?;
            for rows in rows.chunks(options.batch_size) {
                let batch = data::batch(x, Some(y), self.rows(), rows, counting, &device)?;
                let tape = Tape::new(&self.params);
                let loss = self.loss(&tape, &batch, &compiled.loss, &mut totals)?;
                tape.backward(&loss)?;
                compiled.optimizer.step(&self.params)?;
                device.submit()?;
                if progress.advance(rows.len()) {
                    progress.show(&totals.read()?);
                }
            }
            let training = totals.read()?;
            if !training.loss.is_finite() {
                return Err(Error::NotFinite {
                    what: "the loss",
                    place: format!("epoch {}", epoch + 1),
                    help: "a smaller learning rate may help, or inputs of a size of about 1",
                });
            }
            let samples_per_second = rows.len() as f32 / began.elapsed().as_secs_f32();
            let evaluate = |(x, y): (&Sequences, &Targets), rows: &[usize], samples| {
                // It begins without a state, and the training goes on from its own.
                let _aside = Aside::new(self);
                self.evaluate_rows(x, y, rows, samples, options.batch_size, compiled)
            };
            let validation = match options.validation {
                Some(data) => Some(evaluate(data, &(0..data.0.len()).collect::<Vec<_>>(), None)?),
                None if validation_rows.is_empty() => None,
                None => Some(evaluate((x, y), &validation_rows, options.sample_weights)?),
            };
            let done = Epoch { training, validation, samples_per_second };
            progress.end(epoch, &done);
            history.epochs.push(done);
        }
        Ok(history)
    }

    /// Checks the options; the sequences to train on, and those to validate on.
    fn split(
        &self,
        x: &Sequences,
        y: &Targets,
        options: &Fit<'_>,
        loss: &Loss,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let share = options.validation_split;
        let option = |option, found: String, expected: &str| {
            Err(Error::Option { option, found, expected: expected.into() })
        };
        if !(0.0..1.0).contains(&share) {
            return option("validation_split", share.to_string(), "from 0 up to, but not, 1");
        }
        if share > 0.0 && options.validation.is_some() {
            let found = "both validation_split and validation_data".into();
            return option("validation", found, "one of the two");
        }
        self.check_data(x, y, x.features(), loss, "Sequential::fit")?;
        if let Some(weights) = options.sample_weights {
            if weights.len() != x.len() {
                return Err(Error::Count {
                    op: "Fit::sample_weights",
                    shape: vec![x.len()],
                    expected: x.len(),
                    found: weights.len(),
                });
            }
            if let Some(bad) = weights.iter().find(|w| !(0.0..f32::MAX).contains(*w)) {
                return option("sample_weights", bad.to_string(), "finite values of at least 0");
            }
            let sum = weights.iter().map(|&w| f64::from(w)).sum::<f64>() as f32;
            loss::check_sum("the sum of sample_weights", sum)?;
        }
        if let Some((validation, y)) = options.validation {
            self.check_data(validation, y, x.features(), loss, "Fit::validation_data")?;
        }
        let training = (x.len() as f64 * (1.0 - f64::from(share))) as usize;
        // 0.2 is a little more in f32 than in f64: 10 sequences are 8 and 2 all the same.
        let exact = x.len() as f64 * (1.0 - f64::from(share));
        let training = if exact.ceil() - exact < 1e-7 * x.len() as f64 {
            exact.ceil() as usize
        } else {
            training
        };
        if training == 0 {
            return option(
                "the sequences to train on",
                format!("{} of {}", training, x.len()),
                "at least 1: more sequences, or a smaller validation_split",
            );
        }
        self.check_batches(training, options.batch_size, true)?;
        let validated = options.validation.map_or(x.len() - training, |(x, _)| x.len());
        self.check_batches(validated, options.batch_size, false)?;
        Ok(((0..training).collect(), (training..x.len()).collect()))
    }

    /// Checks sequences and targets against the model.
    fn check_data(
        &self,
        x: &Sequences,
        y: &Targets,
        features: usize,
        loss: &Loss,
        op: &'static str,
    ) -> Result<()> {
        if features != x.features() {
            return Err(Error::Option {
                option: "the sequences' features",
                found: x.features().to_string(),
                expected: format!("{features}, for which the model was built"),
            });
        }
        if x.is_empty() {
            let found = vec![0, 0, x.features()];
            return Err(Error::Empty { op, arg: "x", axes: "[N,T,F]", found });
        }
        self.check_input(x)?;
        y.check(x, self.rows(), op)?;
        y.check_values(loss, self.layers.last().map_or(0, |layer| layer.output_size()))
    }

    /// The loss of a batch; adds it and the metrics to the totals.
    fn loss(&self, tape: &Tape, batch: &Batch, kind: &Loss, totals: &mut Totals) -> Result<Var> {
        let output = self.forward_for_loss(tape, &batch.x, kind)?;
        let weights = batch.weights.as_ref();
        let bad = |expected, found: &str| {
            Err(Error::Loss { loss: kind.name(), expected, found: found.into() })
        };
        let mut weight = batch.weight;
        let loss = match (&batch.targets, kind.of_classes()) {
            (BatchTargets::Classes(labels), Some(options)) => {
                weight = options.total(labels, weights);
                options.loss(tape, &output, labels, weights)?
            }
            (BatchTargets::Values(y), None) => match *kind {
                Loss::BinaryCrossEntropy => loss::binary_cross_entropy(tape, &output, y, weights)?,
                Loss::MeanAbsoluteError => loss::mean_absolute_error(tape, &output, y, weights)?,
                Loss::Huber { delta } => loss::huber(tape, &output, y, delta, weights)?,
                Loss::Quantile { quantile } => loss::quantile(tape, &output, y, quantile, weights)?,
                _ => loss::mean_squared_error(tape, &output, y, weights)?,
            },
            (_, Some(_)) => return bad("Targets::classes", "Targets::values"),
            (_, None) => return bad("Targets::values", "Targets::classes"),
        };
        let loss = tape.regularized(&loss)?;
        totals.add(&loss, weight, &output, batch, kind)?;
        Ok(loss)
    }

    /// The loss and the metrics over sequences `x` with targets `y`.
    ///
    /// # Errors
    /// As [`Sequential::fit`]; [`Error::Empty`] without sequences.
    pub fn evaluate(&self, x: &Sequences, y: &Targets) -> Result<Evaluation> {
        self.evaluate_batches(x, y, 32)
    }

    /// As [`Sequential::evaluate`], so many sequences at a time. With stateful layers the size must be
    /// that of the batches before.
    ///
    /// # Errors
    /// As [`Sequential::evaluate`]; [`Error::Option`] for a size of 0, and for one that does not divide
    /// the sequences if a layer is stateful.
    pub fn evaluate_batches(
        &self,
        x: &Sequences,
        y: &Targets,
        batch_size: usize,
    ) -> Result<Evaluation> {
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the evaluation", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        self.check_data(x, y, features, &compiled.loss, "Sequential::evaluate")?;
        self.check_batches(x.len(), batch_size, true)?;
        self.evaluate_rows(x, y, &(0..x.len()).collect::<Vec<_>>(), None, batch_size, compiled)
    }

    fn evaluate_rows(
        &self,
        x: &Sequences,
        y: &Targets,
        rows: &[usize],
        samples: Option<&[f32]>,
        batch_size: usize,
        compiled: &Compiled,
    ) -> Result<Evaluation> {
        let classes = compiled.loss.of_classes();
        let counting = Counting { samples, classes: classes.as_ref(), ..self.counting() };
        let device = self.params.device();
        let mut totals = Totals::new(&device, &compiled.metrics)?;
        for rows in rows.chunks(batch_size) {
            let batch = data::batch(x, Some(y), self.rows(), rows, counting, &device)?;
            self.loss(&Tape::inference(&self.params), &batch, &compiled.loss, &mut totals)?;
            device.submit()?;
        }
        totals.read()
    }

    /// What the model says of sequences `x`.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`, [`Error::Option`] if the sequences have
    /// other features than the model was built for, and those of the device.
    pub fn predict(&self, x: &Sequences) -> Result<Prediction> {
        self.predict_batches(x, 32)
    }

    /// As [`Sequential::predict`], so many sequences at a time. With stateful layers the size must be
    /// that of the batches before.
    ///
    /// # Errors
    /// As [`Sequential::predict`]; [`Error::Option`] for a size of 0, and for one that does not divide
    /// the sequences if a layer is stateful.
    pub fn predict_batches(&self, x: &Sequences, batch_size: usize) -> Result<Prediction> {
        let width = match (self.layers.last(), self.input_size) {
            (Some(last), Some(_)) => last.output_size(),
            _ => {
                return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
            }
        };
        if self.input_size != Some(x.features()) {
            return Err(Error::Option {
                option: "the sequences' features",
                found: x.features().to_string(),
                expected: format!(
                    "{}, for which the model was built",
                    self.input_size.unwrap_or_default()
                ),
            });
        }
        self.check_input(x)?;
        self.check_batches(x.len(), batch_size, true)?;
        let device = self.params.device();
        let out = self.rows();
        let all: Vec<_> = (0..x.len()).collect();
        let loss = self.compiled.as_ref().map(|compiled| &compiled.loss);
        let meaning = Meaning::of(self.activation(), loss);
        let (mut values, mut classes) = (Vec::new(), Vec::new());
        for rows in all.chunks(batch_size) {
            let batch = data::batch(x, None, out, rows, self.counting(), &device)?;
            let tape = Tape::inference(&self.params);
            let (logits, activation) = self.forward_logits(&tape, &batch.x)?;
            let words = activation.forward(&tape, &logits)?.tensor().to_vec()?;
            // Read only where rounding hides what they say.
            let own = activation != Activation::Linear;
            let ties = own && words.chunks_exact(width).any(|row| meaning.is_tie(row));
            let logits = if ties { Some(logits.tensor().to_vec()?) } else { None };
            let size = words.len() / rows.len();
            for (number, &row) in rows.iter().enumerate() {
                // `check_output` saw that there are as many.
                let here = number * size..number * size + out.range(x, row).len() * width;
                let found = words.get(here.clone()).unwrap_or_default();
                values.extend_from_slice(found);
                for (n, row) in found.chunks_exact(width).enumerate() {
                    let logits = logits.as_ref().filter(|_| meaning.is_tie(row));
                    let class = match logits.and_then(|l| l[here.start + n * width..].get(..width))
                    {
                        Some(logits) => Meaning::Logits.class(logits),
                        None => meaning.class(row),
                    };
                    classes.push(class as u32);
                }
            }
        }
        Ok(Prediction { values, width, classes })
    }

    /// Checks what the first layer takes, sequence by sequence.
    fn check_input(&self, x: &Sequences) -> Result<()> {
        let Some(first) = self.layers.first() else { return Ok(()) };
        for number in 0..x.len() {
            first.check_input(x.get(number)).map_err(|mut error| {
                if let Error::Token { sequence, .. } = &mut error {
                    *sequence = number;
                }
                error
            })?;
        }
        Ok(())
    }

    /// How batches are made for this model, with nothing but all of it counting.
    fn counting(&self) -> Counting<'static> {
        let first =
            |takes: fn(&dyn Layer) -> bool| self.layers.first().is_some_and(|l| takes(l.as_ref()));
        let (tokens, packed) = (first(|l| l.takes_tokens()), first(|l| l.takes_packed()));
        Counting { tokens, packed, ..Counting::default() }
    }
}

/// The states of a model's layers while it goes another way: they are put back whatever happens there.
struct Aside<'a>(&'a Sequential, Vec<LayerState>);

impl<'a> Aside<'a> {
    fn new(model: &'a Sequential) -> Self {
        Self(model, model.swap_states(Vec::new()))
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.swap_states(std::mem::take(&mut self.1));
    }
}

/// Checks what a layer says of itself: it may be the user's.
fn check_layer(layer: &dyn Layer) -> Result<()> {
    let wrong = |method, said: usize| {
        let (said, gave) = (said.to_string(), "a layer has 1 to 16,777,216 of them".into());
        Err(Error::Layer { kind: layer.kind(), method, said, gave })
    };
    let fits = |n: usize| (1..=1 << 24).contains(&n);
    match (layer.output_size(), layer.fixed_timesteps()) {
        (size, _) if !fits(size) => wrong("output_size", size),
        (_, Some(n)) if !fits(n) => wrong("fixed_timesteps", n),
        _ => Ok(()),
    }
}

/// Checks what came out of a layer against what it says: it may be the user's.
fn check_output(layer: &dyn Layer, x: &Var, y: &Var) -> Result<()> {
    if x.shape().len() > 3 {
        // No value of a model of sequences: the layers know what they take.
        return Ok(());
    }
    if y.packed_dims().is_some() {
        return Ok(());
    }
    let first = |axis: usize| x.shape().get(axis).copied();
    let size = layer.output_size();
    let (rows, timesteps, takes_sequence) = match x.packed_dims() {
        Some([rows, timesteps]) => (rows, Some(timesteps), true),
        None if layer.takes_tokens() => (first(0).unwrap_or(0), first(1), x.shape().len() >= 2),
        None => (first(0).unwrap_or(0), first(1), x.shape().len() > 2),
    };
    let (method, said) = match (layer.gives_sequence(takes_sequence), layer.fixed_timesteps()) {
        (false, _) => ("gives_sequence", vec![rows, size]),
        (true, Some(n)) => ("fixed_timesteps", vec![rows, n, size]),
        (true, None) => {
            let timesteps = timesteps.filter(|_| takes_sequence);
            // What makes a sequence of one value sets how long it is.
            let timesteps = timesteps.or(y.shape().get(1).copied()).unwrap_or(1);
            ("gives_sequence", vec![rows, timesteps, size])
        }
    };
    if y.shape() == said {
        return Ok(());
    }
    let method = match (y.shape().last(), y.shape().len() == said.len()) {
        (Some(&found), true) if found != size => "output_size",
        _ => method,
    };
    let (said, gave) = (format!("{said:?}"), format!("{:?}", y.shape()));
    Err(Error::Layer { kind: layer.kind(), method, said, gave })
}

/// The loss and the metrics of an epoch, summed on the device.
struct Totals {
    loss: Total,
    metrics: Vec<(Metric, Total)>,
    weight: f64,
    loss_weight: f64,
}

impl Totals {
    fn new(device: &Device, metrics: &[Metric]) -> Result<Self> {
        let total = || Total::new(device);
        let metrics = metrics.iter().map(|&m| Ok((m, total()?))).collect::<Result<_>>()?;
        Ok(Self { loss: total()?, metrics, weight: 0.0, loss_weight: 0.0 })
    }

    /// `weight`: of the batch's mean loss among the others.
    fn add(
        &mut self,
        loss: &Var,
        weight: f32,
        output: &Var,
        batch: &Batch,
        kind: &Loss,
    ) -> Result<()> {
        self.loss_weight += f64::from(weight);
        self.weight += f64::from(batch.weight);
        self.loss.add(loss.tensor(), weight)?;
        for (metric, total) in &mut self.metrics {
            let (how, expected) = match (metric, kind, &batch.targets) {
                (Metric::Accuracy, _, BatchTargets::Classes(labels)) => {
                    (accuracy::Kind::Categorical, labels.tensor())
                }
                (Metric::Accuracy, Loss::BinaryCrossEntropy, BatchTargets::Values(values)) => {
                    (accuracy::Kind::Binary, values)
                }
                _ => {
                    return Err(Error::Loss {
                        loss: "Metric::Accuracy",
                        expected: "Loss::CrossEntropy or Loss::BinaryCrossEntropy",
                        found: kind.name().into(),
                    });
                }
            };
            let weights = batch.weights.as_ref().map(loss::RowWeights::tensor);
            let hits = accuracy::accuracy(how, output.tensor(), expected, weights)?;
            total.add(&hits, 1.0)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Evaluation> {
        // 0, not NaN, where nothing counted.
        let one_over = |of: f64| if of > 0.0 { 1.0 / of } else { 0.0 };
        let mean = |total: &Total, of: f64| Ok((total.read()? * one_over(of)) as f32);
        let metrics = self.metrics.iter().map(|(_, total)| mean(total, self.weight));
        let metrics = metrics.collect::<Result<_>>()?;
        Ok(Evaluation { loss: mean(&self.loss, self.loss_weight)?, metrics })
    }
}
