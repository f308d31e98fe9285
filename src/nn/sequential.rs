//! A model of layers one after the other, with Keras' methods.

use super::{Activation, Layer, Params, summary};
use crate::data::{self, Batch, BatchTargets, Counting, Rows, Sequences, Targets};
use crate::ops::accuracy;
use crate::ops::reduce_sum::reduce_sum;
use crate::tape::{Tape, Var};
use crate::train::{Epoch, Evaluation, Fit, History, Loss, Metric, Optimizer, Progress};
use crate::{Device, Error, Result, Tensor, loss};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
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

/// What a model says of some sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    values: Vec<f32>,
    width: usize,
}

impl Prediction {
    /// The values, row by row: a row for each sequence or, if the model gives sequences, for
    /// each frame (all frames of the first sequence, then of the second …).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// The values of row `i`; empty if there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        self.values.chunks_exact(self.width).nth(i).unwrap_or_default()
    }

    /// The place of the largest value of each row: the likeliest class. Of a model with one output,
    /// whether it is above 0.5, as after a sigmoid: 1 or 0.
    pub fn classes(&self) -> Vec<usize> {
        if self.width == 1 {
            return self.values.iter().map(|&v| usize::from(v > 0.5)).collect();
        }
        let largest =
            |row: &[f32]| (0..row.len()).fold(0, |b, j| if row[j] > row[b] { j } else { b });
        self.values.chunks_exact(self.width).map(largest).collect()
    }
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
            if let Err(error) = layer.build_on(&self.params, size) {
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
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(tape, &x))
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
        let Some((last, layers)) = self.layers.split_last() else {
            return Err(Error::NotBuilt { what: "a Sequential without layers", call: "add" });
        };
        let x = layers.iter().try_fold(x.clone(), |x, layer| layer.forward(tape, &x))?;
        let (logits, activation) = last.forward_logits(tape, &x)?;
        let bad = |expected| {
            Err(Error::Loss { loss: loss.name(), expected, found: format!("{activation:?}") })
        };
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
        // All that can be checked comes before the first parameter is made or moved.
        let result = match self.split(x, y, &options, &compiled.loss) {
            Ok(rows) => match self.build(x.features()) {
                Ok(()) => self.run_epochs(x, y, options, rows, &mut compiled),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        self.compiled = Some(compiled);
        result
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
        let counting = Counting { samples: options.sample_weights, classes: classes.as_ref() };
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
            let validation = match options.validation {
                Some((x, y)) => {
                    let all: Vec<_> = (0..x.len()).collect();
                    Some(self.evaluate_rows(x, y, &all, None, options.batch_size, compiled)?)
                }
                None if validation_rows.is_empty() => None,
                None => {
                    let (rows, size) = (&validation_rows, options.batch_size);
                    Some(self.evaluate_rows(x, y, rows, options.sample_weights, size, compiled)?)
                }
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
        if options.batch_size == 0 {
            return option("batch_size", "0".into(), "at least 1");
        }
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
            loss::check_sum("the sum of sample_weights", weights.iter().sum())?;
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
        if let Some(first) = self.layers.first() {
            first.check_input(x.values())?;
        }
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
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the evaluation", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        self.check_data(x, y, features, &compiled.loss, "Sequential::evaluate")?;
        self.evaluate_rows(x, y, &(0..x.len()).collect::<Vec<_>>(), None, 32, compiled)
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
        let counting = Counting { samples, classes: classes.as_ref() };
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
        let device = self.params.device();
        if let Some(first) = self.layers.first() {
            first.check_input(x.values())?;
        }
        let out = self.rows();
        let all: Vec<_> = (0..x.len()).collect();
        let mut values = Vec::new();
        for rows in all.chunks(32) {
            let batch = data::batch(x, None, out, rows, Counting::default(), &device)?;
            let output = self.forward(&Tape::inference(&self.params), &batch.x)?;
            let words = output.tensor().to_vec()?;
            let size = (words.len() / rows.len()).max(1);
            for (&row, words) in rows.iter().zip(words.chunks_exact(size)) {
                values.extend_from_slice(&words[..out.range(x, row).len() * width]);
            }
        }
        Ok(Prediction { values, width })
    }
}

/// The loss and the metrics of an epoch, summed on the device.
struct Totals {
    loss: Tensor,
    metrics: Vec<(Metric, Tensor)>,
    weight: f64,
    loss_weight: f64,
}

impl Totals {
    fn new(device: &Device, metrics: &[Metric]) -> Result<Self> {
        let zero = || Tensor::zeros([1], device);
        let metrics = metrics.iter().map(|&m| Ok((m, zero()?))).collect::<Result<_>>()?;
        Ok(Self { loss: zero()?, metrics, weight: 0.0, loss_weight: 0.0 })
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
        reduce_sum(loss.tensor(), weight, true, &self.loss)?;
        for (metric, total) in &self.metrics {
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
            reduce_sum(&hits, 1.0, true, total)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Evaluation> {
        // 0, not NaN, where nothing counted.
        let one_over = |of: f64| if of > 0.0 { 1.0 / of } else { 0.0 };
        let mean =
            |total: &Tensor, of: f64| Ok((f64::from(total.to_vec()?[0]) * one_over(of)) as f32);
        let metrics = self.metrics.iter().map(|(_, total)| mean(total, self.weight));
        let metrics = metrics.collect::<Result<_>>()?;
        Ok(Evaluation { loss: mean(&self.loss, self.loss_weight)?, metrics })
    }
}
