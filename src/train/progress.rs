//! The progress of a training: a bar on a terminal; a line for each epoch elsewhere, or without the feature
//! `progress`.

use super::bar::Bar;
use super::{Epoch, Evaluation};
use std::io::Write;
use std::time::{Duration, Instant};

/// The time between two reads of the loss within an epoch, each of which waits for the device.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) struct Progress {
    bar: Bar,
    lines: bool,
    epochs: usize,
    looked: Instant,
    /// When this training began, and when its epoch did; the epochs done since.
    began: Instant,
    epoch_began: Instant,
    done: u32,
}

impl Progress {
    pub(crate) fn new(epochs: usize, samples: Option<usize>, quiet: bool) -> Self {
        let bar = Bar::new(samples, quiet);
        let lines = !quiet && bar.is_hidden();
        let now = Instant::now();
        Self { bar, lines, epochs, looked: now, began: now, epoch_began: now, done: 0 }
    }

    pub(crate) fn begin(&mut self, epoch: usize) {
        self.epoch_began = Instant::now();
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

    /// Prints a line, unless nothing is to be printed.
    pub(crate) fn say(&self, line: &str) {
        if self.lines {
            // A closed pipe is no reason to stop a training.
            let _ = writeln!(std::io::stdout(), "{line}");
        } else {
            self.bar.line(line.to_owned());
        }
    }

    pub(crate) fn show(&self, sofar: &Evaluation) {
        self.bar.show(self.text("", sofar));
    }

    pub(crate) fn end(&mut self, number: usize, epoch: &Epoch) {
        let mut line = format!("{}  {}", self.prefix(number), self.text("", &epoch.training));
        if let Some(validation) = &epoch.validation {
            line += &format!("  {}", self.text("val_", validation));
        }
        line += &format!("  {:.0} samples/s", epoch.samples_per_second);
        line += &format!("  {}", time(self.epoch_began.elapsed()));
        self.done += 1;
        let left = self.epochs.saturating_sub(number + 1);
        if left > 0 {
            let each = self.began.elapsed().as_secs_f64() / f64::from(self.done);
            let left = Duration::try_from_secs_f64(each * left as f64).unwrap_or(Duration::MAX);
            line += &format!(", {} left", time(left));
        }
        self.say(&line);
    }

    fn text(&self, prefix: &str, evaluation: &Evaluation) -> String {
        let mut text = format!("{prefix}loss {:.4}", evaluation.loss);
        for (name, value) in evaluation.names.iter().zip(&evaluation.metrics) {
            text += &format!("  {prefix}{name} {value:.4}");
        }
        text
    }
}

/// A duration in its two largest units.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes, seconds) {
        (0, 0, 0..10) => format!("{:.1} s", duration.as_secs_f64()),
        (0, 0, _) => format!("{seconds} s"),
        (0, _, _) => format!("{minutes} min {} s", seconds % 60),
        (0..24, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units() {
        let of = |seconds| time(Duration::from_secs_f64(seconds));
        let found = [of(0.0), of(2.14), of(59.9), of(60.0), of(3599.0), of(7500.0), of(90_000.0)];
        let expected =
            ["0.0 s", "2.1 s", "59 s", "1 min 0 s", "59 min 59 s", "2 h 5 min", "1 d 1 h"];
        assert_eq!(found, expected);
    }
}
