//! Logs for TensorBoard.

use super::Callback;
use super::events::{EventFile, Value};
use super::monitor::measured;
use crate::Result;
use crate::check::check_not_zero;
use crate::train::run::Run;
use std::path::{Path, PathBuf};

/// Writes what `TensorBoard` shows: loss, metrics and the learning rate after each epoch. `tensorboard
/// --logdir FOLDER` opens it.
///
/// As with Keras the folder has two runs, `train` and `validation`, so that TensorBoard draws a number of
/// both into one chart; their tags are `loss`, `learning_rate` and the metrics' names. The axis counts steps
/// since [`crate::Sequential::compile`]. A training that resumes replaces what the folder has of later steps.
///
/// ```
/// use wgpu_lstm::train::{Fit, TensorBoard};
/// let board = TensorBoard::new("logs/first").every_steps(50);
/// let fit = Fit::new().epochs(10).callback(board);
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct TensorBoard {
    train: EventFile,
    validation: EventFile,
    every: Option<u64>,
    histograms: bool,
    /// The steps made before this training.
    began: u64,
}

impl TensorBoard {
    /// Writes to this folder, which is made if it is not there.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        let run = |name: &str| EventFile::new(PathBuf::from(folder.as_ref()).join(name));
        let (train, validation) = (run("train"), run("validation"));
        Self { train, validation, every: None, histograms: false, began: 0 }
    }

    /// Writes the loss of the last batch and the rate after each `steps` steps, too, as `batch_loss` and
    /// `batch_learning_rate`. Each time waits for the device.
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every = Some(steps);
        self
    }

    /// Writes a histogram of each parameter after each epoch, too. That reads all of them from the device.
    pub fn histograms(mut self) -> Self {
        self.histograms = true;
        self
    }
}

impl Callback for TensorBoard {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        check_not_zero("TensorBoard::every_steps", self.every.unwrap_or(1))?;
        self.began = run.steps();
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        if !self.every.is_some_and(|every| run.steps().is_multiple_of(every)) {
            return Ok(());
        }
        let rate = run.learning_rate().map(|rate| ("batch_learning_rate", rate));
        let values = run.loss()?.map(|loss| ("batch_loss", loss)).into_iter().chain(rate);
        let values: Vec<_> = values.map(|(tag, v)| Value::Scalar(tag.into(), v)).collect();
        self.train.write(self.began, run.steps(), &values)
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        let Some(epoch) = run.history().epochs.last() else { return Ok(()) };
        let scalars = |values: Vec<(String, f32)>| {
            values.into_iter().map(|(tag, value)| Value::Scalar(tag, value)).collect::<Vec<_>>()
        };
        let mut training = scalars(measured("", &epoch.training));
        let rate = run.learning_rate().map(|rate| Value::Scalar("learning_rate".into(), rate));
        training.extend(rate);
        let (steps, params) = (run.steps(), run.params());
        self.train.write(self.began, steps, &training)?;
        if self.histograms {
            // One after the other: a model's values may take much of the host's memory.
            for name in params.names() {
                let values = params.get(&name)?;
                self.train.write(self.began, steps, &[Value::Histogram(name, &values)])?;
            }
        }
        match &epoch.validation {
            Some(validation) => {
                self.validation.write(self.began, steps, &scalars(measured("", validation)))
            }
            None => Ok(()),
        }
    }
}
