//! A trial training over growing learning rates, to find one that suits a model.

use super::callback::Callback;
use super::run::Run;
use super::sequential::Compiled;
use super::{Fit, History, Sequential};
use crate::check::check_share;
use crate::data::{Origin, Sequences, Targets};
use crate::{Error, Result};

/// The options of [`Sequential::find_rate`].
///
/// ```
/// use wgpu_lstm::train::{FindRate, Fit};
/// let options = FindRate::new().rates(1e-6, 1.0).steps(200).fit(Fit::new().batch_size(64));
/// # let _ = options;
/// ```
#[derive(Debug)]
#[must_use = "options do nothing until `Sequential::find_rate` has them"]
pub struct FindRate<'a> {
    from: f32,
    to: f32,
    steps: usize,
    smoothing: f32,
    fit: Fit<'a>,
}

impl Default for FindRate<'_> {
    fn default() -> Self {
        Self { from: 1e-7, to: 10.0, steps: 100, smoothing: 0.9, fit: Fit::new() }
    }
}

impl<'a> FindRate<'a> {
    /// 100 steps from a rate of 1e-7 to 10, in batches of 32.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the first rate and the last, `0 < from < to`.
    pub fn rates(mut self, from: f32, to: f32) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// Sets the number of steps from the first rate to the last, at least 2.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the share of the mean so far in the smoothed loss, from 0 up to, but not, 1.
    pub fn smoothing(mut self, share: f32) -> Self {
        self.smoothing = share;
        self
    }

    /// Sets how steps are made: the batches' size, weights, order and seed, how many a step takes, and the
    /// limit of gradients. Epochs, validation, schedule, average, callbacks and a checkpoint to resume are
    /// left out.
    pub fn fit(mut self, fit: Fit<'a>) -> Self {
        self.fit = fit;
        self
    }

    fn check(&self) -> Result<()> {
        let bad = |option, found: String, expected: &str| {
            Err(Error::Option { option, found, expected: expected.into() })
        };
        let (from, to) = (self.from, self.to);
        if !(from > 0.0 && from < to && to.is_finite()) {
            let found = format!("from {from} to {to}");
            return bad("FindRate::rates", found, "finite rates above 0, the first below the last");
        }
        if self.steps < 2 {
            return bad("FindRate::steps", self.steps.to_string(), "at least 2");
        }
        check_share("FindRate::smoothing", self.smoothing)
    }
}

/// The losses of a model at growing learning rates: see [`Sequential::find_rate`]. With the feature `plot`,
/// `RateFinder::plot` draws them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RateFinder {
    /// The rate of each step, each so many times the one before.
    pub rates: Vec<f32>,
    /// The smoothed loss before the step of each rate.
    pub losses: Vec<f32>,
    /// The steps by which the smoothed loss comes after the loss.
    lag: usize,
}

impl RateFinder {
    /// The rate at which the loss falls fastest on the way to its least, by the logarithm of the rate. It lies
    /// before the steepest place of [`RateFinder::losses`] by the steps that smoothing lags behind.
    ///
    /// `None` if the loss does not fall below its level at the start by more than it goes up and down there, or
    /// after too few steps to tell. The first steps, as many as the smoothing lags behind but at least 10, do not
    /// count, since their mean is one of a few batches; the level is that of as many behind them, or of all up to
    /// a quarter of the steps. Nor does the last step count, after which the training diverged.
    pub fn suggestion(&self) -> Option<f32> {
        let (_, losses) = self.losses.split_last()?;
        let skipped = self.lag.max(10);
        let start = losses.get(skipped..(2 * skipped).max(losses.len() / 4))?;
        let level = start.iter().sum::<f32>() / start.len() as f32;
        let ends = start.iter().fold((level, level), |(a, b), &loss| (a.min(loss), b.max(loss)));
        // Means of numbers that are all the same differ by their roundings.
        let scatter = (ends.1 - ends.0).max(1e-6 * level.abs());
        let is_below = |&at: &usize| losses[at] < level - scatter;
        let by_loss = |a: &usize, b: &usize| losses[*a].total_cmp(&losses[*b]);
        let least = (skipped..losses.len()).min_by(by_loss).filter(is_below)?;
        // From where on it stays below.
        let left = (skipped..least).rev().find(|at| !is_below(at))?;
        // Over some steps: the difference of two neighbours is that of two batches.
        let reach = (self.lag / 2).max(1);
        let slope = |at: usize| Some(losses.get(at + reach)? - losses.get(at.checked_sub(reach)?)?);
        let slopes = (left..=least).filter_map(|at| Some((at, slope(at)?)));
        let (at, slope) = slopes.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        self.rates.get(at.checked_sub(self.lag)?).copied().filter(|_| slope < 0.0)
    }

    /// Rates and losses as a table with commas, under `rate,loss`.
    pub fn to_csv(&self) -> String {
        let rows = self.rates.iter().zip(&self.losses);
        let rows = rows.map(|(rate, loss)| format!("{rate:?},{loss:?}\n"));
        ["rate,loss\n".to_owned()].into_iter().chain(rows).collect()
    }
}

impl Sequential {
    /// Trains for some steps with a learning rate that grows from step to step, and undoes it (Smith 2017,
    /// arXiv 1506.01186): where the loss falls fastest is a good rate, or the highest of a cycle. It ends
    /// before the last rate if the smoothed loss has become four times its least, or is no longer a number.
    ///
    /// Parameters, optimizer, random numbers, states of layers and the count of steps are afterwards as they
    /// were before, to the bit; of an optimizer of your own, as far as its
    /// [`crate::train::Optimizer::state`] tells. A model that was not built is built.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// use wgpu_lstm::train::FindRate;
    ///
    /// let values: Vec<f32> = (0..320).map(|i| (i as f32 * 0.7).sin()).collect();
    /// let x = Sequences::from_array(&values, [32, 10, 1])?;
    /// let y = Targets::values(values.iter().step_by(10).copied().collect::<Vec<_>>(), 1);
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(8)).add(Dense::new(1));
    /// model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    /// let found = model.find_rate(&x, &y, FindRate::new().fit(Fit::new().batch_size(8)))?;
    /// assert_eq!(found.rates.len(), found.losses.len());
    /// if let Some(rate) = found.suggestion() {
    ///     model.compile(Adam::new(rate), Loss::MeanSquaredError, &[]);
    /// }
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for an option that makes no sense, [`Error::Unsupported`] for an optimizer without a
    /// rate, and those of [`Sequential::fit`].
    pub fn find_rate(
        &mut self,
        x: &Sequences,
        y: &Targets,
        options: FindRate<'_>,
    ) -> Result<RateFinder> {
        options.check()?;
        let growth = (f64::from(options.to) / f64::from(options.from)).ln();
        let smoothing = f64::from(options.smoothing);
        // What an exponential mean lags behind a straight line.
        let lag = (smoothing / (1.0 - smoothing)).round() as usize;
        let mut trial = Trial {
            from: options.from.into(),
            growth: growth / (options.steps - 1) as f64,
            steps: options.steps,
            smoothing,
            mean: 0.0,
            best: f64::INFINITY,
            over: false,
            found: RateFinder { rates: Vec::new(), losses: Vec::new(), lag },
        };
        let mut fit = Fit {
            epochs: options.steps,
            validation_split: 0.0,
            validation: None,
            schedule: None,
            average: None,
            resume: None,
            callbacks: Vec::new(),
            quiet: true,
            ..options.fit
        };
        fit.callbacks.push(Box::new(&mut trial));
        // It begins without a state, and so with batches of any size.
        let states = self.swap_states(Vec::new());
        let ended = self.fit_and_undo(x, y, fit);
        self.swap_states(states);
        match ended {
            // A rate at which the gradients are no longer finite is the last, too.
            Err(Error::Diverged { .. }) => Ok(trial.found),
            Err(error) if !trial.over => Err(error),
            _ => Ok(trial.found),
        }
    }

    /// Trains, and undoes all of it but the states of layers.
    fn fit_and_undo(&mut self, x: &Sequences, y: &Targets, fit: Fit<'_>) -> Result<History> {
        let not_built = Error::NotBuilt { what: "the training", call: "compile" };
        let Some(Compiled { trainer: Some(trainer), loss, .. }) = &self.compiled else {
            return Err(not_built);
        };
        if trainer.optimizer.learning_rate().is_none() {
            return Err(Error::Unsupported {
                what: "Sequential::find_rate",
                with: "this optimizer",
                help: "it has no learning rate: see Optimizer::learning_rate",
            });
        }
        // As `fit` does: all checks, then the first parameter.
        let data = Origin::Memory { x, y: Some(y), weights: None };
        self.split(data, &fit, loss)?;
        self.build(x.features())?;
        let Some(Compiled { trainer: Some(trainer), .. }) = &self.compiled else {
            return Err(not_built);
        };
        let (before, position) = (trainer.optimizer.state(&self.params)?, trainer.position);
        let held = self.params.hold()?;
        let ended = self.fit(x, y, fit);
        self.params.put_back(&held)?;
        self.params.zero_gradients()?;
        if let Some(Compiled { trainer: Some(trainer), .. }) = &mut self.compiled {
            trainer.optimizer.set_state(&self.params, &before)?;
            trainer.position = position;
        }
        ended
    }
}

/// Sets the rate of each step, and keeps the losses.
struct Trial {
    from: f64,
    /// The logarithm of what a rate is times the one before.
    growth: f64,
    steps: usize,
    smoothing: f64,
    mean: f64,
    best: f64,
    over: bool,
    found: RateFinder,
}

impl Callback for Trial {
    fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        let made = self.found.rates.len();
        let rate = (self.from * (self.growth * made as f64).exp()) as f32;
        let loss = f64::from(run.loss()?.unwrap_or(f32::NAN));
        self.mean = self.smoothing * self.mean + (1.0 - self.smoothing) * loss;
        // As if the mean had not begun at 0.
        let smooth = self.mean / (1.0 - self.smoothing.powf(made as f64 + 1.0));
        self.over = !smooth.is_finite() || smooth > self.best + 3.0 * self.best.abs();
        if !self.over {
            self.best = self.best.min(smooth);
            self.found.rates.push(rate);
            self.found.losses.push(smooth as f32);
            self.over = self.found.rates.len() == self.steps;
        }
        if self.over {
            // Nothing more of an epoch is needed, such as its mean loss, which may be none.
            return Err(Error::custom("the trial is over"));
        }
        run.optimizer.set_learning_rate(rate);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(losses: &[f32]) -> RateFinder {
        let rates = (0..losses.len()).map(|i| 1.1f32.powi(i as i32 - 40)).collect();
        RateFinder { rates, losses: losses.to_vec(), lag: 0 }
    }

    /// A level with some noise for so many steps, and behind it these losses.
    fn after_level(steps: usize, losses: &[f32]) -> Vec<f32> {
        let level = (0..steps).map(|i| 1.0 + [0.0, 0.01, -0.01][i % 3]);
        level.chain(losses.iter().copied()).collect()
    }

    #[test]
    fn the_suggestion_is_where_the_loss_falls_fastest_before_it_rises() {
        let falls = [0.96, 0.9, 0.4, 0.3, 0.29, 0.8, 3.0];
        for steps in [20, 24, 60] {
            let falls = found(&after_level(steps, &falls));
            assert_eq!(falls.suggestion(), Some(falls.rates[steps + 2]), "{steps}");
        }
        let late = found(&after_level(40, &falls));
        let late = RateFinder { lag: 2, ..late };
        assert_eq!(late.suggestion(), Some(late.rates[40]));
        // Behind the least a fall does not count.
        let rises = found(&after_level(40, &[0.9, 0.8, 0.5, 9.0, 2.0, 2.0]));
        assert_eq!(rises.suggestion(), Some(rises.rates[41]));
        // Nor do falls at the start, which come from few batches, nor one that is taken back.
        let mut first = after_level(30, &[0.9, 0.8, 0.5, 0.45, 0.9]);
        first[..4].copy_from_slice(&[9.0, 5.0, 1.0, 0.2]);
        first[25] = 0.47;
        let first = found(&first);
        assert_eq!(first.suggestion(), Some(first.rates[31]));
    }

    #[test]
    fn without_a_fall_nothing_is_suggested() {
        let risen: Vec<_> = (0..60).map(|i| 1.0 + i as f32).collect();
        let rises_late = after_level(50, &[1.2, 2.0, 4.0]);
        // Within the scatter; only at the last step; too few steps; a first step that is lucky.
        let scatters = after_level(50, &[0.995, 0.985, 0.99, 1.1, 2.0]);
        let last = after_level(50, &[0.1]);
        let few = after_level(12, &[0.9, 0.5, 0.2, 0.3]);
        let mut lucky = after_level(50, &[]);
        lucky[0] = 0.1;
        let same = vec![0.3; 50];
        for losses in [vec![], vec![1.0], risen, rises_late, scatters, last, few, lucky, same] {
            assert_eq!(found(&losses).suggestion(), None, "{losses:?}");
        }
        // A lag of more steps than there are: never the first rate in its place.
        let long = RateFinder { lag: 99, ..found(&after_level(90, &[0.9, 0.5, 0.2, 0.1, 0.1])) };
        assert_eq!(long.suggestion(), None);
    }
}
