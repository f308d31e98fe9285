//! A forecast as a picture.

use super::axis::Scale;
use super::lines::{Band, Lines, Ticks, color};
use super::picture::Picture;
use super::{same, texts};
use crate::{Error, Result};

/// A forecast of a series, with what came before, the truth, and intervals that it lies in with some
/// probability, such as the outputs of a model with [`Loss::Quantile`](crate::train::Loss::Quantile) at 0.1 and
/// 0.9 are for 0.8.
///
/// ```
/// use wgpu_lstm::plot::Forecast;
/// let picture = Forecast::new(&[12.0, 13.0, 13.5])
///     .history(&[9.0, 10.0, 10.5, 11.0])
///     .truth(&[11.5, 13.5, 14.0])
///     .interval(0.8, &[11.0, 11.5, 11.5], &[13.0, 14.5, 15.5])
///     .plot()?
///     .title("sales, thousands");
/// assert!(picture.to_svg()?.contains(">80 % interval</text>"));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "`plot` makes a picture of it"]
pub struct Forecast {
    median: Vec<f32>,
    history: Vec<f32>,
    truth: Vec<f32>,
    intervals: Vec<(f32, Vec<f32>, Vec<f32>)>,
    x: Option<X>,
}

/// What stands below the points.
#[derive(Debug, Clone)]
enum X {
    Numbers(Vec<f64>),
    Labels(Vec<String>),
}

impl Forecast {
    /// A forecast: a number for each step, such as the median or the mean.
    pub fn new(median: &[f32]) -> Self {
        let (history, truth, intervals) = (Vec::new(), Vec::new(), Vec::new());
        Self { median: median.to_vec(), history, truth, intervals, x: None }
    }

    /// The values before the forecast.
    pub fn history(mut self, values: &[f32]) -> Self {
        self.history = values.to_vec();
        self
    }

    /// What the values of the forecast turned out to be, as many as these.
    pub fn truth(mut self, values: &[f32]) -> Self {
        self.truth = values.to_vec();
        self
    }

    /// Adds an interval that holds the truth with this probability, from 0 to 1: its lower and upper end for
    /// each step of the forecast.
    pub fn interval(mut self, probability: f32, low: &[f32], high: &[f32]) -> Self {
        self.intervals.push((probability, low.to_vec(), high.to_vec()));
        self
    }

    /// Sets a number for each value of the history and each step of the forecast, such as a year, by which the
    /// points lie apart; in place of [`Forecast::labels`]. By default the values are counted from 0.
    pub fn x(mut self, numbers: &[f64]) -> Self {
        self.x = Some(X::Numbers(numbers.to_vec()));
        self
    }

    /// Sets a label for each value of the history and each step of the forecast, such as a date; in place of
    /// [`Forecast::x`]. As many are shown as there is room for.
    pub fn labels(mut self, labels: &[impl AsRef<str>]) -> Self {
        self.x = Some(X::Labels(texts(labels)));
        self
    }

    /// The picture.
    ///
    /// # Errors
    /// [`Error::Empty`] for a forecast of no step; [`Error::Count`] if truth or intervals have not as many
    /// values, or if there is not a number or label for each; [`Error::Option`] for a probability that is none.
    pub fn plot(&self) -> Result<Picture> {
        let (before, steps) = (self.history.len(), self.median.len());
        if steps == 0 {
            let found = vec![0];
            return Err(Error::Empty {
                op: "Forecast::new",
                arg: "median",
                axes: "[steps]",
                found,
            });
        }
        if !self.truth.is_empty() {
            same("Forecast::truth", &[steps], self.truth.len())?;
        }
        let all = before + steps;
        let (xs, ticks) = match &self.x {
            None => ((0..all).map(|at| at as f64).collect(), Ticks::Whole),
            Some(X::Numbers(numbers)) => {
                same("Forecast::x", &[all], numbers.len())?;
                let whole = numbers.iter().all(|x| x.fract() == 0.0);
                (numbers.clone(), if whole { Ticks::Whole } else { Ticks::Numbers })
            }
            Some(X::Labels(labels)) => {
                same("Forecast::labels", &[all], labels.len())?;
                ((0..all).map(|at| at as f64).collect::<Vec<_>>(), Ticks::Labels(labels.clone()))
            }
        };
        let x_name = if self.x.is_none() { "timestep" } else { "" };
        let mut panel = Lines::new("", x_name, ticks);
        panel.y_scale = Scale::Linear;
        let (past, future) = xs.split_at(before);
        let points = |xs: &[f64], values: &[f32]| -> Vec<[f64; 2]> {
            xs.iter().zip(values).map(|(&x, &value)| [x, value.into()]).collect()
        };
        if before > 0 {
            panel.line("history", points(past, &self.history), color(6), false);
        }
        if !self.truth.is_empty() {
            panel.line("truth", points(future, &self.truth), color(1), false);
        }
        panel.line("forecast", points(future, &self.median), color(0), false);
        let mut intervals: Vec<_> = self.intervals.iter().collect();
        // The widest lies below the others.
        intervals.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        for (probability, low, high) in intervals {
            same("Forecast::interval", &[steps], low.len())?;
            same("Forecast::interval", &[steps], high.len())?;
            if !(*probability > 0.0 && *probability < 1.0) {
                return Err(Error::Option {
                    option: "Forecast::interval",
                    found: probability.to_string(),
                    expected: "a probability between 0 and 1".into(),
                });
            }
            let ends = future.iter().zip(low).zip(high);
            // What rounding to 32 bits adds is no part of the number.
            let percent = (1000.0 * f64::from(*probability)).round() / 10.0;
            panel.bands.push(Band {
                name: format!("{percent} % interval"),
                points: ends.map(|((&x, &low), &high)| [x, low.into(), high.into()]).collect(),
                color: color(0),
                opacity: 0.22,
            });
        }
        Ok(Picture::of_lines(vec![panel]).size(900, 380))
    }
}
