//! The progress of a training: a bar on a terminal; a line for each epoch elsewhere, or without the feature
//! `progress`.

use super::bar::Bar;
use super::{Epoch, Evaluation, Metric};
use std::io::Write;
use std::time::{Duration, Instant};

/// The time between two reads of the loss within an epoch, each of which waits for the device.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Progress {
    bar: Bar,
    lines: bool,
    metrics: Vec<Metric>,
    epochs: usize,
    looked: Instant,
}

impl Progress {
    pub(crate) fn new(epochs: usize, samples: usize, metrics: &[Metric], quiet: bool) -> Self {
        let bar = Bar::new(samples, quiet);
        let lines = !quiet && bar.is_hidden();
        Self { bar, lines, metrics: metrics.to_vec(), epochs, looked: Instant::now() }
    }

    pub(crate) fn begin(&mut self, epoch: usize) {
        self.bar.begin(self.prefix(epoch));
    }

    fn prefix(&self, epoch: usize) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {:>width$}/{}", epoch + 1, self.epochs)
    }

    /// Advances by a batch of `samples`. Returns whether the loss so far should be shown now.
    pub(crate) fn advance(&mut self, samples: usize) -> bool {
        self.bar.advance(samples);
        let due = !self.bar.is_hidden() && self.looked.elapsed() >= LOOK;
        if due {
            self.looked = Instant::now();
        }
        due
    }

    pub(crate) fn show(&self, sofar: &Evaluation) {
        self.bar.show(self.text("", sofar));
    }

    pub(crate) fn end(&self, number: usize, epoch: &Epoch) {
        let mut line = format!("{}  {}", self.prefix(number), self.text("", &epoch.training));
        if let Some(validation) = &epoch.validation {
            line += &format!("  {}", self.text("val_", validation));
        }
        line += &format!("  {:.0} samples/s", epoch.samples_per_second);
        if self.lines {
            // A closed pipe is no reason to stop a training.
            let _ = writeln!(std::io::stdout(), "{line}");
        } else {
            self.bar.line(line);
        }
    }

    fn text(&self, prefix: &str, evaluation: &Evaluation) -> String {
        let mut text = format!("{prefix}loss {:.4}", evaluation.loss);
        for (metric, value) in self.metrics.iter().zip(&evaluation.metrics) {
            text += &format!("  {prefix}{} {value:.4}", metric.name());
        }
        text
    }
}
