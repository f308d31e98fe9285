//! Checks of data and options before a model's first step.

use super::batch::Rows;
use super::feed::{caught, check_frames, no_data};
use super::sequential::{NO_LAYERS, Sequential, other_features};
use super::{Fit, Loss};
use crate::check::{check_not_zero, check_share};
use crate::data::{Kind, Origin, Sequences, Targets};
use crate::nn::{Activation, Own, other_rows};
use crate::{Error, Result, loss};
use std::ops::Range;

/// What a training goes over.
pub(super) struct Parts {
    /// The sequences to train on, and those of the same data to validate on; none of a stream.
    pub(super) training: Range<usize>,
    pub(super) validation: Range<usize>,
    /// The frames of each sequence of the data, and of the data to validate on; none where no batch is made by them.
    pub(super) lengths: [Vec<usize>; 2],
}

impl Sequential {
    /// Checks options and data.
    pub(super) fn split(&self, data: Origin<'_>, options: &Fit<'_>, loss: &Loss) -> Result<Parts> {
        let share = options.validation_split;
        let option = |option, found: String, expected: &str| {
            Err(Error::Option { option, found, expected: expected.into() })
        };
        check_share("Fit::validation_split", share)?;
        if let Some(schedule) = &options.schedule {
            schedule.check()?;
        }
        if let Some(average) = &options.average {
            average.check()?;
        }
        if share > 0.0 && options.validation.is_some() {
            return Err(Error::Unsupported {
                what: "Fit::validation_split",
                with: "Fit::validation_data",
                help: "validate on one of the two",
            });
        }
        self.check_origins(data, options, loss)?;
        let sequences = data.len().unwrap_or(0);
        if let Some(weights) = options.sample_weights {
            if !matches!(data, Origin::Memory { .. }) {
                return Err(Error::Unsupported {
                    what: "Fit::sample_weights",
                    with: "Sequential::fit_dataset",
                    help: "give each sample its own, by Sample::weight",
                });
            }
            if weights.len() != sequences {
                return Err(Error::Count {
                    op: "Fit::sample_weights",
                    shape: vec![sequences],
                    expected: sequences,
                    found: weights.len(),
                });
            }
            if let Some(bad) = weights.iter().find(|w| !(0.0..f32::MAX).contains(*w)) {
                let expected = "finite values of at least 0";
                return option("Fit::sample_weights", bad.to_string(), expected);
            }
            let sum = weights.iter().map(|&w| f64::from(w)).sum::<f64>() as f32;
            loss::check_sum("Fit::sample_weights", sum)?;
        }
        // 0.2 is a little more in f32 than in f64: 10 sequences are 8 and 2 all the same.
        let exact = sequences as f64 * (1.0 - f64::from(share));
        let rounds_up = exact.ceil() - exact < 1e-7 * sequences as f64;
        let training = if rounds_up { exact.ceil() } else { exact } as usize;
        if data.len().is_none() && share > 0.0 {
            return Err(Error::Unsupported {
                what: "Fit::validation_split",
                with: "IterableDataset",
                help: "a stream has no last part; make one for validation, for Fit::validation_dataset",
            });
        }
        if data.len().is_some() && training == 0 {
            return option(
                "Fit::validation_split",
                format!("{share} of {sequences} sequences"),
                "a share that leaves at least one to train on",
            );
        }
        if let Some(clip) = options.clip {
            clip.check()?;
        }
        check_not_zero("Fit::accumulate", options.accumulate)?;
        let lengths = self.lengths(data, options)?;
        let (batch, size) = ("Fit::batch_size", options.batch_size);
        self.check_batches(batch, training, size, true)?;
        let validated = match options.validation {
            Some(data) => data.len().unwrap_or(0),
            None => sequences - training,
        };
        self.check_batches(batch, validated, size, false)?;
        Ok(Parts { training: 0..training, validation: training..sequences, lengths })
    }

    /// Checks the data to train on, and those to validate on, against the model.
    pub(super) fn check_origins(
        &self,
        data: Origin<'_>,
        options: &Fit<'_>,
        loss: &Loss,
    ) -> Result<()> {
        let (op, features) = (operation(data, "fit"), data.features());
        self.check_origin(data, self.input_size.unwrap_or(features), loss, op)?;
        let Some(validation) = options.validation else { return Ok(()) };
        let op = operation(validation, "validation");
        self.check_origin(validation, features, loss, op).map_err(|error| {
            // Some say so themselves.
            if error.to_string().starts_with(op) { error } else { error.at(op) }
        })
    }

    /// Checks the options that make batches by the lengths of sequences, and gives these.
    fn lengths(&self, data: Origin<'_>, options: &Fit<'_>) -> Result<[Vec<usize>; 2]> {
        check_not_zero("Fit::batch_frames", options.batch_frames.unwrap_or(1))?;
        check_not_zero("Fit::bucket_by_length", options.buckets.unwrap_or(1))?;
        let what = match (options.batch_frames, options.buckets) {
            (Some(_), _) => "Fit::batch_frames",
            (None, Some(_)) => "Fit::bucket_by_length",
            (None, None) => return Ok([const { Vec::new() }; 2]),
        };
        if self.layers.iter().any(|layer| layer.is_stateful()) {
            let help = "a row of each batch goes on where that of the batch before ended: take batches of as \
                        many rows, in their order";
            return Err(Error::Unsupported { what, with: "Lstm::stateful", help });
        }
        if options.buckets.is_some() && data.len().is_none() {
            return Err(Error::Unsupported {
                what: "Fit::bucket_by_length",
                with: "IterableDataset",
                help: "lengths are known where samples are got by index: see Dataset::frames",
            });
        }
        let of = |data, op| {
            let op = operation(data, op);
            let lengths = lengths(data, op)?;
            check_frames(options.size(), &lengths, op)?;
            Ok(lengths)
        };
        let lengths = of(data, "fit")?;
        let validation = options.validation.map(|data| of(data, "validation")).transpose()?;
        Ok([lengths, validation.unwrap_or_default()])
    }

    /// Checks data against the model: all of it where it lies in memory, else what is known before a sample is
    /// loaded.
    pub(super) fn check_origin(
        &self,
        data: Origin<'_>,
        features: usize,
        loss: &Loss,
        op: &'static str,
    ) -> Result<()> {
        self.layers.iter().try_for_each(|layer| layer.well_formed(Own))?;
        if let Origin::Memory { x, y: Some(y), .. } = data {
            return self.check_data(x, y, features, loss, op);
        }
        loss.ctc().map_or_else(|| self.check_rows(op), |_| Ok(()))?;
        let found = data.features();
        check_not_zero("Dataset::features", found)?;
        if let Origin::Stream(stream) = data {
            check_not_zero("IterableDataset::shuffle", stream.buffer())?;
        }
        if features != found {
            return Err(other_features(op, features, found));
        }
        match data.len() {
            Some(0) => Err(no_data(found, op)),
            _ => loss.check(),
        }
    }

    /// Checks sequences and targets against the model.
    pub(super) fn check_data(
        &self,
        x: &Sequences,
        y: &Targets,
        features: usize,
        loss: &Loss,
        op: &'static str,
    ) -> Result<()> {
        let last = self.layers.last().ok_or(NO_LAYERS)?;
        if features != x.features() {
            return Err(other_features(op, features, x.features()));
        }
        if x.is_empty() {
            return Err(no_data(x.features(), op));
        }
        self.check_input(x)?;
        if loss.ctc().is_some() || y.as_sequences().is_some() {
            return self.check_spelling(x, y, loss, op);
        }
        self.check_rows(op)?;
        check_count(y, x, self.rows(), op)?;
        // A loss that does not fit the last layer says so itself, whatever the width.
        let fits = !loss.is_binary()
            || matches!(self.activation(), Activation::Sigmoid | Activation::Linear);
        let outputs =
            Outputs { width: if fits { last.output_size() } else { 0 }, kind: last.kind() };
        check_values(y, loss, outputs, |row| row_name(x, self.rows(), row))?;
        self.check_paths(x, y)
    }

    /// Checks the batch size that `option` set. If a layer is stateful, all batches must have the same number
    /// of rows, and that of the layer's state if it `goes_on` from there.
    pub(super) fn check_batches(
        &self,
        option: &'static str,
        sequences: usize,
        batch_size: usize,
        goes_on: bool,
    ) -> Result<()> {
        check_not_zero(option, batch_size)?;
        if sequences == 0 || !self.layers.iter().any(|layer| layer.is_stateful()) {
            return Ok(());
        }
        let rows = batch_size.min(sequences);
        if !sequences.is_multiple_of(rows) {
            return Err(Error::Option {
                option,
                found: format!("{batch_size} for {sequences} sequences"),
                expected: "one that divides them, since a layer is stateful: each row of a batch \
                           goes on where that row of the batch before ended"
                    .into(),
            });
        }
        let mut states = self.layers.iter().filter_map(|layer| layer.state_rows());
        match states.find(|&found| found != rows && goes_on) {
            Some(other) => Err(other_rows(option, other, rows)),
            None => Ok(()),
        }
    }
}

/// The method that got these data, for errors.
pub(super) fn operation(data: Origin<'_>, purpose: &str) -> &'static str {
    match (data, purpose) {
        (Origin::Memory { .. }, "validation") => "Fit::validation_data",
        (Origin::Memory { .. }, _) => "Sequential::fit",
        (_, "validation") => "Fit::validation_dataset",
        _ => "Sequential::fit_dataset",
    }
}

/// The frames of each sequence; none of a stream, which counts as it goes.
fn lengths(data: Origin<'_>, op: &'static str) -> Result<Vec<usize>> {
    let length = |row| {
        caught(|| Ok(data.frames(row)))
            .and_then(|frames| {
                frames.ok_or(Error::Unsupported {
                    what: "a batch made by lengths",
                    with: "a Dataset that does not tell them",
                    help: "give it Dataset::frames",
                })
            })
            .map_err(|error| Error::Sample { op, index: row, error: Box::new(error) })
    };
    (0..data.len().unwrap_or(0)).map(length).collect()
}

/// Checks that there is a target for each row that a model gives for `x`.
fn check_count(y: &Targets, x: &Sequences, out: Rows, op: &'static str) -> Result<()> {
    let rows = out.total(x);
    let (expected, found) = match &y.kind {
        Kind::Classes(_) | Kind::Sequences(_) => (rows, y.len()),
        Kind::Values { values, width } => {
            check_not_zero("Targets::width", *width)?;
            (rows.saturating_mul(*width), values.len())
        }
    };
    if expected == found {
        return Ok(());
    }
    let help = match out {
        Rows::One => "a class, or a row of numbers, for each sequence",
        Rows::Frames => {
            "a class, or a row of numbers, for each frame of each sequence, since the model gives \
             a value at each; for one of a sequence drop the last return_sequences, or add a Pool"
        }
        Rows::Fixed(_) => {
            "a class, or a row of numbers, for each timestep that the model gives, which its \
             Repeat sets"
        }
    };
    Err(Error::Targets { op, sequences: x.len(), expected, found, help })
}

/// How to name a row of targets, but for those that are one number or class of one sequence.
fn row_name(x: &Sequences, out: Rows, row: usize) -> String {
    let sequence = (0..x.len()).find(|&i| out.range(x, i).contains(&row)).unwrap_or(row);
    match out {
        Rows::One => format!("sequence {sequence}"),
        Rows::Frames => {
            format!("frame {} of sequence {sequence}", row - out.range(x, sequence).start)
        }
        Rows::Fixed(n) => format!("timestep {} of sequence {sequence}", row % n.max(1)),
    }
}

/// The outputs of a model.
struct Outputs {
    /// 0 if only the build tells.
    width: usize,
    /// The last layer.
    kind: &'static str,
}

impl Outputs {
    /// What the targets must have, of which there are so many for each sequence or frame.
    fn expected(&self, found: usize, quantiles: &[f32]) -> String {
        let Self { width, kind } = self;
        if !quantiles.is_empty() {
            let (q, others) = (quantiles.len(), width / quantiles.len());
            return match width % q {
                0 => format!("{others}: of {q} quantiles each the last layer has {width} outputs"),
                _ => format!(
                    "as many as the last layer has groups of {q} quantiles: with {width} outputs it has no whole \
                     number; make it {}",
                    found.saturating_mul(q)
                ),
            };
        }
        let outputs = format!("{width}, the outputs of the last layer");
        match *kind {
            "lstm" | "rnn" => format!("{outputs} ({kind}); or add a Dense of {found} after it"),
            _ => outputs,
        }
    }
}

/// Checks that a loss takes these targets, from a model with these outputs; `name` names a row of them.
fn check_values(
    y: &Targets,
    loss: &Loss,
    outputs: Outputs,
    name: impl Fn(usize) -> String,
) -> Result<()> {
    loss.check()?;
    let width = outputs.width;
    let [of_classes, of_values] = ["Targets::classes or Targets::probabilities", "Targets::values"];
    let other = |expected, found: &str, help: &str| {
        Err(Error::Loss { loss: loss.name(), expected, found: format!("{found}{help}") })
    };
    match (&y.kind, loss.of_classes()) {
        (Kind::Classes(_), None) => {
            let help = match loss.is_binary() {
                true => {
                    "; give 0.0 and 1.0 as values, or take CrossEntropy with an output for each class"
                }
                false => "; for classes take CrossEntropy",
            };
            other(of_values, "Targets::classes", help)
        }
        (Kind::Values { values, width: 1 }, Some(_)) => {
            let help = match values.iter().all(|v| *v >= 0.0 && v.fract() == 0.0) {
                true => " that are whole numbers; if they are classes, give them as such",
                false => "; for numbers take MeanSquaredError, or another loss between numbers",
            };
            other(of_classes, of_values, help)
        }
        (_, Some(_)) if width == 1 && outputs.kind != "crf" => Err(Error::Loss {
            loss: loss.name(),
            expected: "an output for each class, at least 2",
            found: "1 output of the last layer; to tell two classes apart by one, take \
                    BinaryCrossEntropy with 0.0 and 1.0 as Targets::values"
                .into(),
        }),
        (Kind::Classes(labels), Some(options)) if width > 0 => {
            options.check_classes(width)?;
            options.check_labels(labels, width).map_err(|error| match error {
                Error::Label { row, .. } if !name(row).starts_with("sequence") => {
                    error.at(name(row))
                }
                error => error,
            })
        }
        (Kind::Classes(_), Some(_)) | (Kind::Sequences(_), _) => Ok(()),
        (Kind::Values { values, width: found }, options) => {
            if let Some(distribution) = loss.distribution() {
                return distribution.check_targets(values, *found, width, name);
            }
            let quantiles = loss.quantiles();
            if width > 0 && found.checked_mul(quantiles.len().max(1)) != Some(width) {
                return Err(Error::Option {
                    option: "Targets::width",
                    found: found.to_string(),
                    expected: outputs.expected(*found, quantiles),
                });
            }
            if let Some(options) = options {
                options.check_soft()?;
                options.check_classes(*found)?;
                return check_probabilities(values, *found, name);
            }
            if !loss.is_binary() {
                return match values.iter().position(|v| !v.is_finite()) {
                    Some(at) => Err(Error::NotFinite {
                        what: "a target",
                        place: format!("value {at} ({})", name(at / found)),
                        help: "replace what is missing before training",
                    }),
                    None => Ok(()),
                };
            }
            if let (Loss::BinaryCrossEntropyWith(options), 1..) = (loss, width) {
                options.check_outputs(width)?;
            }
            let expected = "from 0 to 1 by BinaryCrossEntropy; for more classes use CrossEntropy";
            let Some(at) = values.iter().position(|v| !(0.0..=1.0).contains(v)) else {
                return Ok(());
            };
            let (error, row) =
                (Error::Target { at, found: values[at], expected }, name(at / found));
            // A number alone has the place of its sequence.
            Err(if *found == 1 && row.starts_with("sequence") { error } else { error.at(row) })
        }
    }
}

/// How far the probabilities of a row may be from 1: those of 16-bit floats, and those that were printed.
const ROUNDED: f64 = 1e-2;

/// Checks that each row has probabilities.
fn check_probabilities(values: &[f32], width: usize, name: impl Fn(usize) -> String) -> Result<()> {
    for (row, values) in values.chunks_exact(width).enumerate() {
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        // A NaN is none, either.
        let fits = values.iter().all(|v| (0.0..=1.0 + ROUNDED as f32).contains(v));
        if !(fits && (sum - 1.0).abs() <= ROUNDED) {
            let error = Error::Loss {
                loss: "Loss::CrossEntropy",
                expected: "Targets::classes, or probabilities from 0 to 1 that add up to 1",
                found: format!("{values:?}"),
            };
            return Err(error.at(name(row)));
        }
    }
    Ok(())
}
