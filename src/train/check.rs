//! Checks of data and options before a model's first step.

use super::batch::Rows;
use super::sequential::{NO_LAYERS, Sequential, other_features};
use super::{Fit, Loss};
use crate::check::{check_not_zero, check_share};
use crate::data::{Kind, Sequences, Targets, finite};
use crate::nn::{Activation, other_rows};
use crate::{Error, Result, loss};

impl Sequential {
    /// Checks the options, and returns the sequences to train on and those to validate on.
    pub(super) fn split(
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
        self.check_data(x, y, self.input_size.unwrap_or(x.features()), loss, "Sequential::fit")?;
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
                let expected = "finite values of at least 0";
                return option("Fit::sample_weights", bad.to_string(), expected);
            }
            let sum = weights.iter().map(|&w| f64::from(w)).sum::<f64>() as f32;
            loss::check_sum("Fit::sample_weights", sum)?;
        }
        if let Some((validation, y)) = options.validation {
            self.check_data(validation, y, x.features(), loss, "Fit::validation_data")?;
        }
        // 0.2 is a little more in f32 than in f64: 10 sequences are 8 and 2 all the same.
        let exact = x.len() as f64 * (1.0 - f64::from(share));
        let rounds_up = exact.ceil() - exact < 1e-7 * x.len() as f64;
        let training = if rounds_up { exact.ceil() } else { exact } as usize;
        if training == 0 {
            return option(
                "Fit::validation_split",
                format!("{share} of {} sequences", x.len()),
                "a share that leaves at least one to train on",
            );
        }
        if let Some(clip) = options.clip {
            clip.check()?;
        }
        check_not_zero("Fit::accumulate", options.accumulate)?;
        let (batch, size) = ("Fit::batch_size", options.batch_size);
        self.check_batches(batch, training, size, true)?;
        let validated = options.validation.map_or(x.len() - training, |(x, _)| x.len());
        self.check_batches(batch, validated, size, false)?;
        Ok(((0..training).collect(), (training..x.len()).collect()))
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
            let found = vec![0, 0, x.features()];
            return Err(Error::Empty { op, arg: "x", axes: "[N,T,F]", found });
        }
        self.check_input(x)?;
        check_count(y, x, self.rows(), op)?;
        // A loss that does not fit the last layer says so itself, whatever the width.
        let fits = *loss != Loss::BinaryCrossEntropy
            || matches!(self.activation(), Activation::Sigmoid | Activation::Linear);
        check_values(y, loss, if fits { last.output_size() } else { 0 })
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

    /// Checks each sequence against what the first layer takes.
    pub(super) fn check_input(&self, x: &Sequences) -> Result<()> {
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
}

/// Checks that there is a target for each row that a model gives for `x`.
fn check_count(y: &Targets, x: &Sequences, out: Rows, op: &'static str) -> Result<()> {
    let rows = out.total(x);
    let (expected, found) = match &y.kind {
        Kind::Classes(labels) => (rows, labels.len()),
        Kind::Values { values, width } => {
            check_not_zero("Targets::width", *width)?;
            (rows.saturating_mul(*width), values.len())
        }
    };
    if expected == found {
        return Ok(());
    }
    let help = match out {
        Rows::One => "a class, or the width's numbers, for each sequence",
        Rows::Frames => {
            "a class, or the width's numbers, for each frame of each sequence, since the model gives \
             a value at each; for one of a sequence drop the last return_sequences, or add a Pool"
        }
        Rows::Fixed(_) => {
            "a class, or the width's numbers, for each timestep that the model gives, which its \
             Repeat sets"
        }
    };
    Err(Error::Targets { op, expected, found, help })
}

/// Whether each row of values is 1 in one place, and 0 elsewhere.
fn is_one_hot(values: &[f32], width: usize) -> bool {
    let one_hot = |row: &[f32]| {
        row.iter().all(|&v| v == 0.0 || v == 1.0) && row.iter().filter(|&&v| v == 1.0).count() == 1
    };
    width > 1 && values.chunks_exact(width).all(one_hot)
}

/// Checks that a loss takes these targets, from a model with `width` outputs; 0 if only its build tells.
fn check_values(y: &Targets, loss: &Loss, width: usize) -> Result<()> {
    loss.check()?;
    let [of_classes, of_values] = ["Targets::classes", "Targets::values"];
    let other = |expected, found: &str, help: &str| {
        Err(Error::Loss { loss: loss.name(), expected, found: format!("{found}{help}") })
    };
    match (&y.kind, loss.of_classes()) {
        (Kind::Classes(_), None) => {
            let help = match loss {
                Loss::BinaryCrossEntropy => {
                    "; give 0.0 and 1.0 as values, or take CrossEntropy with an output for each class"
                }
                _ => "; for classes take CrossEntropy",
            };
            return other(of_values, of_classes, help);
        }
        (Kind::Values { values, width: found }, Some(_)) => {
            let help = if is_one_hot(values, *found) {
                " that are one-hot; give the place of the 1 in each row, from 0"
            } else if values.iter().all(|v| *v >= 0.0 && v.fract() == 0.0) {
                " that are whole numbers; if they are classes, give them as such"
            } else {
                "; for numbers take MeanSquaredError, or another loss between numbers"
            };
            return other(of_classes, of_values, help);
        }
        (Kind::Classes(_), Some(_)) if width == 1 => {
            return Err(Error::Loss {
                loss: loss.name(),
                expected: "an output for each class, at least 2",
                found: "1 output of the last layer; to tell two classes apart by one, take \
                        BinaryCrossEntropy with 0.0 and 1.0 as Targets::values"
                    .into(),
            });
        }
        (Kind::Values { width: found, .. }, None) if width > 0 && *found != width => {
            return Err(Error::Option {
                option: "Targets::width",
                found: found.to_string(),
                expected: format!("{width}, the outputs of the last layer"),
            });
        }
        _ => {}
    }
    match (&y.kind, loss) {
        (Kind::Classes(labels), _) if width > 1 => match loss.of_classes() {
            Some(options) => {
                options.check_classes(width)?;
                options.check_labels(labels, width)
            }
            None => Ok(()),
        },
        (Kind::Values { values, .. }, Loss::BinaryCrossEntropy) => {
            match values.iter().position(|v| !(0.0..=1.0).contains(v)) {
                Some(at) => Err(Error::Target {
                    at,
                    found: values[at],
                    expected: "from 0 to 1 by BinaryCrossEntropy; for more classes use CrossEntropy",
                }),
                None => Ok(()),
            }
        }
        (Kind::Values { values, .. }, _) => finite("a target", values),
        // The loss itself says what it needs.
        _ => Ok(()),
    }
}
