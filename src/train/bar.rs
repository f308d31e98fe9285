//! A progress bar, hidden where the output is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The time left is that of the epoch; the line of each epoch says that of the training.
const TEMPLATE: &str = "{prefix} {bar:24} {per_sec:>12} {eta:>4} left  {msg}";

pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(samples: Option<usize>, quiet: bool) -> Self {
        let samples = samples.map(|samples| samples as u64);
        let bar = ProgressBar::with_draw_target(samples, ProgressDrawTarget::stdout());
        if quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // This template is valid, so it always parses.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }

    pub(super) fn begin(&self, prefix: String) {
        self.0.reset();
        self.0.set_prefix(prefix);
    }

    pub(super) fn advance(&self, samples: usize) {
        self.0.inc(samples as u64);
    }

    pub(super) fn show(&self, message: String) {
        self.0.set_message(message);
    }

    /// Prints a line above the bar.
    pub(super) fn line(&self, line: String) {
        self.0.println(line);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
