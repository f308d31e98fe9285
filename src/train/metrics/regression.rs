//! How far numbers are from what they should be.

use super::confusion::same_count;
use crate::check::check_not_zero;
use crate::{Error, Result};

/// The errors of predictions `[N,width]`, which come in rows, any number at a time.
///
/// ```
/// use wgpu_lstm::train::metrics::Errors;
/// let mut errors = Errors::new(1)?;
/// errors.add(&[2.5, 0.0], &[3.0, -0.5], None)?;
/// errors.add(&[2.0, 8.0], &[2.0, 7.0], None)?;
/// assert_eq!([errors.mean_absolute_error(), errors.mean_squared_error()], [0.5, 0.375]);
/// assert!((errors.r2() - 0.9486).abs() < 1e-4);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Errors {
    absolute: f64,
    percentage: f64,
    symmetric: f64,
    squared: Vec<f64>,
    spread: Spread,
}

impl Errors {
    /// No rows, of so many numbers each.
    ///
    /// # Errors
    /// [`Error::Option`] for a width of 0.
    pub fn new(width: usize) -> Result<Self> {
        check_not_zero("Errors::width", width)?;
        let (squared, spread) = (vec![0.0; width], Spread::new(width));
        Ok(Self { absolute: 0.0, percentage: 0.0, symmetric: 0.0, squared, spread })
    }

    /// Adds rows of predictions x and of what they should be, y; `weights` has one for each row, 1 without.
    ///
    /// # Errors
    /// [`Error::Count`] if there are not as many of one as of the other, or not whole rows.
    pub fn add(&mut self, x: &[f32], y: &[f32], weights: Option<&[f32]>) -> Result<()> {
        const OP: &str = "Errors::add";
        let width = self.squared.len();
        same_count(OP, y.len().next_multiple_of(width), y.len())?;
        same_count(OP, y.len(), x.len())?;
        same_count(OP, y.len() / width, weights.map_or(y.len() / width, <[f32]>::len))?;
        self.spread.add(y, weights);
        for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact(width)).enumerate() {
            let w = f64::from(weights.map_or(1.0, |w| w[row]));
            if w == 0.0 {
                continue;
            }
            for ((&x, &y), squared) in x.iter().zip(y).zip(&mut self.squared) {
                let (x, y) = (f64::from(x), f64::from(y));
                let d = (x - y).abs();
                self.absolute += w * d;
                self.percentage += w * d / y.abs().max(f64::EPSILON);
                self.symmetric += if d == 0.0 { 0.0 } else { w * 2.0 * d / (x.abs() + y.abs()) };
                *squared += w * d * d;
            }
        }
        Ok(())
    }

    fn mean(&self, sum: f64) -> f64 {
        let of = self.spread.weight * self.squared.len() as f64;
        if of == 0.0 { 0.0 } else { sum / of }
    }

    /// The mean of |x - y|; 0 of no rows, here and below.
    pub fn mean_absolute_error(&self) -> f64 {
        self.mean(self.absolute)
    }

    /// The mean of (x - y)².
    pub fn mean_squared_error(&self) -> f64 {
        self.mean(self.squared.iter().sum())
    }

    /// The root of the mean of (x - y)².
    pub fn root_mean_squared_error(&self) -> f64 {
        self.mean_squared_error().sqrt()
    }

    /// The mean of |x - y| / max(|y|, 2⁻⁵²): 1 is 100 %, as in scikit-learn.
    pub fn mean_absolute_percentage_error(&self) -> f64 {
        self.mean(self.percentage)
    }

    /// The mean of 2 |x - y| / (|x| + |y|), from 0 to 2, and 0 where both are 0 (Makridakis 1993; the M4
    /// competition has it times 100).
    pub fn symmetric_mean_absolute_percentage_error(&self) -> f64 {
        self.mean(self.symmetric)
    }

    /// 1 less the sum of (x - y)² over that of (y - mean y)², averaged over the columns: see
    /// [`super::Metric::R2`].
    pub fn r2(&self) -> f64 {
        self.spread.r2(&self.squared)
    }
}

/// Weight, mean and sum of squared differences from it of each column of the targets (Welford 1962; in batches
/// Chan et al. 1979): no difference of two large sums.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) weight: f64,
    rows: u64,
    columns: Vec<[f64; 2]>,
}

impl Spread {
    /// All its numbers, for a checkpoint.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let columns = self.columns.iter().flatten().copied();
        [self.weight, self.rows as f64].into_iter().chain(columns).collect()
    }

    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        if let [weight, rows, columns @ ..] = numbers {
            (self.weight, self.rows) = (*weight, *rows as u64);
            self.columns = columns.chunks_exact(2).map(|column| [column[0], column[1]]).collect();
        }
    }

    pub(crate) fn new(width: usize) -> Self {
        Self { weight: 0.0, rows: 0, columns: vec![[0.0; 2]; width] }
    }

    pub(crate) fn add(&mut self, y: &[f32], weights: Option<&[f32]>) {
        let rows = y.chunks_exact(self.columns.len().max(1));
        for (row, y) in rows.enumerate() {
            let w = f64::from(weights.and_then(|w| w.get(row)).copied().unwrap_or(1.0));
            if w == 0.0 {
                continue;
            }
            self.weight += w;
            self.rows += 1;
            for ([mean, squares], &y) in self.columns.iter_mut().zip(y) {
                let d = f64::from(y) - *mean;
                *mean += d * w / self.weight;
                *squares += w * d * (f64::from(y) - *mean);
            }
        }
    }

    /// R² given the sum of squared errors of each column.
    pub(crate) fn r2(&self, errors: &[f64]) -> f64 {
        if self.rows < 2 {
            return f64::NAN;
        }
        let of = |(&error, &[_, squares]): (&f64, &[f64; 2])| match squares > 0.0 {
            true => 1.0 - error / squares,
            false if error == 0.0 => 1.0,
            false if error.is_nan() => error,
            false => 0.0,
        };
        errors.iter().zip(&self.columns).map(of).sum::<f64>() / self.columns.len() as f64
    }
}

/// The mean pinball loss of a quantile's predictions: `quantile` (y - x) where x is too small, else
/// (1 - `quantile`) (x - y) (Koenker & Bassett 1978; scikit-learn's `mean_pinball_loss`). 0 of no rows.
///
/// # Errors
/// [`Error::Count`] if there is not one prediction for each target.
pub fn pinball(x: &[f32], y: &[f32], quantile: f64) -> Result<f64> {
    same_count("metrics::pinball", y.len(), x.len())?;
    let of = |(&x, &y): (&f32, &f32)| pinball_of(f64::from(x), f64::from(y), quantile);
    Ok(x.iter().zip(y).map(of).sum::<f64>() / (y.len().max(1)) as f64)
}

fn pinball_of(x: f64, y: f64, quantile: f64) -> f64 {
    if x < y { quantile * (y - x) } else { (1.0 - quantile) * (x - y) }
}

/// The continuous ranked probability score from predicted quantiles: twice the pinball loss, averaged over the
/// levels `quantiles` and the rows; the more levels, evenly from 0 to 1, the nearer (Gneiting & Ranjan
/// 2011, doi:10.1198/jbes.2010.08110). `x` `[N,Q]` has the predictions row by row, `y` the N targets.
///
/// # Errors
/// [`Error::Count`] if there is not one prediction for each target and level.
pub fn crps(x: &[f32], y: &[f32], quantiles: &[f64]) -> Result<f64> {
    let levels = quantiles.len();
    same_count("metrics::crps", y.len() * levels, x.len())?;
    let rows = x.chunks_exact(levels.max(1)).zip(y);
    let of_row = |(x, &y): (&[f32], &f32)| {
        let of = |(&x, &q): (&f32, &f64)| pinball_of(f64::from(x), f64::from(y), q);
        x.iter().zip(quantiles).map(of).sum::<f64>()
    };
    Ok(2.0 * rows.map(of_row).sum::<f64>() / x.len().max(1) as f64)
}

/// The share of targets that lie from `low` to `high`, bounds included. 0 of no rows; a NaN is no bound.
///
/// # Errors
/// [`Error::Count`] if there is not one bound of each for each target.
pub fn coverage(low: &[f32], high: &[f32], y: &[f32]) -> Result<f64> {
    same_count("metrics::coverage", y.len(), low.len())?;
    same_count("metrics::coverage", y.len(), high.len())?;
    let within = y.iter().zip(low).zip(high).filter(|((y, low), high)| low <= y && y <= high);
    Ok(within.count() as f64 / y.len().max(1) as f64)
}

/// The mean absolute error of the forecast that says of each value what came `season` values before: the scale
/// of [`super::Metric::Mase`], from the data that a model trains on (Hyndman & Koehler 2006,
/// doi:10.1016/j.ijforecast.2006.03.001).
///
/// # Errors
/// [`Error::Option`] for a season of 0, or as long as the series.
pub fn naive_error(series: &[f32], season: usize) -> Result<f64> {
    if season == 0 || season >= series.len() {
        return Err(Error::Option {
            option: "metrics::naive_error::season",
            found: format!("{season} for {} values", series.len()),
            expected: "at least 1, and fewer than there are values".into(),
        });
    }
    let errors = series.iter().zip(&series[season..]);
    let sum = errors.map(|(&before, &now)| (f64::from(now) - f64::from(before)).abs()).sum::<f64>();
    Ok(sum / (series.len() - season) as f64)
}
