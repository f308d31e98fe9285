//! Scalers: each column shifted and divided by what a training part says of it.

use super::columns::Columns;
use super::cut::check_below;
use crate::check::check_not_zero;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A column becomes (x - from) / per + to.
#[derive(Clone, Copy)]
struct Map {
    from: f64,
    per: f64,
    to: f64,
}

fn apply<C: Columns>(op: &'static str, columns: &[Map], x: &C, inverse: bool) -> Result<C> {
    let found = x.side_by_side()?;
    let expected = columns.len();
    // Of one column any number of values may be, side by side.
    if found != expected && (expected != 1 || C::ONCE) {
        let help = "the columns that the scaler was fitted on, in their order; its method `columns` makes a scaler \
                    of some of them, such as `columns(&[0])` for any number of values of the first";
        return Err(Error::Features { op, expected, found, help });
    }
    x.map(|column, value| {
        let Map { from, per, to } = columns[column % expected];
        let value = f64::from(value);
        (if inverse { (value - to) * per + from } else { (value - from) / per + to }) as f32
    })
}

/// Goes over all values, and calls `f` with the column of each.
fn each<C: Columns>(op: &'static str, x: &C, mut f: impl FnMut(usize, f64)) -> Result<usize> {
    let width = x.width()?;
    check_not_zero("Targets::width", width)?;
    let mut rows = 0;
    for part in x.parts() {
        for row in part.chunks_exact(width) {
            for (column, &value) in row.iter().enumerate() {
                if !value.is_finite() {
                    return Err(Error::NotFinite {
                        what: op,
                        place: format!("row {rows}, column {column}"),
                        help: "replace what is missing before",
                    });
                }
                f(column, value.into());
            }
            rows += 1;
        }
    }
    if rows == 0 {
        let found = vec![rows, width];
        return Err(Error::Empty { op, arg: "x", axes: "[rows,columns]", found });
    }
    Ok(rows)
}

/// The columns of values, of which there is at least a row.
fn width(op: &'static str, x: &impl Columns) -> Result<usize> {
    let width = x.width()?;
    if x.parts().all(|part| part.len() < width) {
        let found = vec![0, width];
        return Err(Error::Empty { op, arg: "x", axes: "[rows,columns]", found });
    }
    Ok(width)
}

/// Some of a scaler's columns.
fn some<T: Copy>(option: &'static str, all: &[T], columns: &[usize]) -> Result<Vec<T>> {
    check_not_zero(option, columns.len())?;
    check_below(option, "columns", columns, all.len())?;
    Ok(columns.iter().map(|&column| all[column]).collect())
}

/// Scales each column to a mean of 0 and a standard deviation of 1: scikit-learn's `StandardScaler`, with its
/// numbers. A column that is the same everywhere becomes 0.
///
/// Fit it on the training part alone: else the model is told of what it is tested on. Keep it with the model
/// ([`crate::Sequential::keep`]), whose predictions are turned back by [`Standardizer::inverse`].
///
/// ```
/// use wgpu_lstm::data::{Sequences, Standardizer, Targets};
/// let x = Sequences::new(2, [[1.0, 10.0, 2.0, 10.0], [3.0, 10.0, 6.0, 10.0]])?;
/// let scaler = Standardizer::fit(&x.slice(..1)?)?;
/// assert_eq!((scaler.means(), scaler.scales()), (vec![1.5, 10.0], vec![0.5, 1.0]));
/// let scaled = scaler.transform(&x)?;
/// assert_eq!(scaled.get(1), [3.0, 0.0, 9.0, 0.0]);
/// assert_eq!(scaler.inverse(&scaled)?, x);
/// // Targets of three steps of the first column.
/// let y = Targets::from_rows([[1.0, 2.0, 3.0]])?;
/// assert_eq!(scaler.columns(&[0])?.transform(&y)?, Targets::from_rows([[-1.0, 1.0, 3.0]])?);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Source
/// The two-pass variance of Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115, and their bound
/// within which a column counts as the same everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    columns: Vec<Moments>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Moments {
    mean: f64,
    scale: f64,
}

impl Standardizer {
    /// Takes mean and standard deviation of each column, in double precision.
    ///
    /// # Errors
    /// [`Error::Empty`] without values, [`Error::NotFinite`] for NaN, [`Error::Unsupported`] for classes.
    pub fn fit(x: &impl Columns) -> Result<Self> {
        const OP: &str = "Standardizer::fit";
        let mut sums = vec![0.0; width(OP, x)?];
        let rows = each(OP, x, |column, value| sums[column] += value)? as f64;
        let means: Vec<_> = sums.iter().map(|sum| sum / rows).collect();
        // The sum of the differences is 0 but for rounding, which it corrects.
        let mut differences = vec![(0.0, 0.0); means.len()];
        each(OP, x, |column, value| {
            let difference = value - means[column];
            let (sum, squares) = &mut differences[column];
            *sum += difference;
            *squares += difference * difference;
        })?;
        let of = |(&mean, (sum, squares)): (&f64, (f64, f64))| {
            let variance = ((squares - sum * sum / rows) / rows).max(0.0);
            let rounding = rows * f64::EPSILON;
            let constant = variance <= rounding * variance + (rounding * mean).powi(2);
            Moments { mean, scale: if constant { 1.0 } else { variance.sqrt() } }
        };
        Ok(Self { columns: means.iter().zip(differences).map(of).collect() })
    }

    /// The values less the mean of their column, divided by its scale.
    ///
    /// # Errors
    /// [`Error::Features`] for other columns than it was fitted on, [`Error::NotFinite`] for sequences that would
    /// go beyond a 32-bit float, [`Error::Unsupported`] for classes.
    pub fn transform<C: Columns>(&self, x: &C) -> Result<C> {
        apply("Standardizer::transform", &self.maps(), x, false)
    }

    /// What [`Standardizer::transform`] made, turned back: for predictions.
    ///
    /// # Errors
    /// As [`Standardizer::transform`].
    pub fn inverse<C: Columns>(&self, x: &C) -> Result<C> {
        apply("Standardizer::inverse", &self.maps(), x, true)
    }

    /// The scaler of these columns alone, in this order: for targets that are some of a series' columns. A scaler of
    /// one column serves any number of values side by side, such as the steps of a horizon or several quantiles; of
    /// several columns each value has to be told its own, `&[0, 1, 0, 1]` for two steps of two columns.
    ///
    /// # Errors
    /// [`Error::Option`] for a column that it was not fitted on, or for none.
    pub fn columns(&self, columns: &[usize]) -> Result<Self> {
        Ok(Self { columns: some("Standardizer::columns", &self.columns, columns)? })
    }

    /// The mean of each column: scikit-learn's `mean_`.
    pub fn means(&self) -> Vec<f64> {
        self.columns.iter().map(|column| column.mean).collect()
    }

    /// What each column is divided by, its standard deviation (of n, not n - 1), or 1 if it is the same
    /// everywhere: scikit-learn's `scale_`.
    pub fn scales(&self) -> Vec<f64> {
        self.columns.iter().map(|column| column.scale).collect()
    }

    fn maps(&self) -> Vec<Map> {
        let map = |&Moments { mean, scale }: &_| Map { from: mean, per: scale, to: 0.0 };
        self.columns.iter().map(map).collect()
    }
}

/// Scales each column so that its values go from 0 to 1, or over another range: scikit-learn's `MinMaxScaler`,
/// with its numbers. A column that is the same everywhere becomes the range's begin. Values beyond those that it
/// was fitted on go beyond the range.
///
/// Fit it on the training part alone, and keep it with the model, as a [`super::Standardizer`].
///
/// ```
/// use wgpu_lstm::data::{MinMax, Sequences};
/// let x = Sequences::new(1, [[2.0, 4.0, 6.0]])?;
/// assert_eq!(MinMax::fit(&x)?.transform(&x)?.get(0), [0.0, 0.5, 1.0]);
/// let scaler = MinMax::fit_range(&x, -1.0, 1.0)?;
/// assert_eq!(scaler.transform(&x)?.get(0), [-1.0, 0.0, 1.0]);
/// assert_eq!(scaler.inverse(&vec![0.5, 2.0])?, [5.0, 8.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinMax {
    columns: Vec<Extent>,
    range: Extent,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Extent {
    low: f64,
    high: f64,
}

impl MinMax {
    /// Takes the least and the largest value of each column, which become 0 and 1.
    ///
    /// # Errors
    /// As [`Standardizer::fit`].
    pub fn fit(x: &impl Columns) -> Result<Self> {
        Self::fit_range(x, 0.0, 1.0)
    }

    /// The same, which become `low` and `high`: scikit-learn's `feature_range`.
    ///
    /// # Errors
    /// As [`Standardizer::fit`]; [`Error::Option`] for a range whose begin is not below its end.
    pub fn fit_range(x: &impl Columns, low: f64, high: f64) -> Result<Self> {
        if !(low < high && (high - low).is_finite()) {
            return Err(Error::Option {
                option: "MinMax::fit_range",
                found: format!("from {low} to {high}"),
                expected: "from a number to a larger one".into(),
            });
        }
        let nothing = Extent { low: f64::INFINITY, high: f64::NEG_INFINITY };
        let mut columns = vec![nothing; width("MinMax::fit", x)?];
        each("MinMax::fit", x, |column, value| {
            let Extent { low, high } = &mut columns[column];
            (*low, *high) = (low.min(value), high.max(value));
        })?;
        Ok(Self { columns, range: Extent { low, high } })
    }

    /// The values in the range.
    ///
    /// # Errors
    /// As [`Standardizer::transform`].
    pub fn transform<C: Columns>(&self, x: &C) -> Result<C> {
        apply("MinMax::transform", &self.maps(), x, false)
    }

    /// What [`MinMax::transform`] made, turned back: for predictions.
    ///
    /// # Errors
    /// As [`Standardizer::transform`].
    pub fn inverse<C: Columns>(&self, x: &C) -> Result<C> {
        apply("MinMax::inverse", &self.maps(), x, true)
    }

    /// The scaler of these columns alone, in this order: for targets that are some of a series' columns. A scaler of
    /// one column serves any number of values side by side, such as the steps of a horizon or several quantiles; of
    /// several columns each value has to be told its own, `&[0, 1, 0, 1]` for two steps of two columns.
    ///
    /// # Errors
    /// [`Error::Option`] for a column that it was not fitted on, or for none.
    pub fn columns(&self, columns: &[usize]) -> Result<Self> {
        let columns = some("MinMax::columns", &self.columns, columns)?;
        Ok(Self { columns, range: self.range })
    }

    /// The least value of each column: scikit-learn's `data_min_`.
    pub fn lows(&self) -> Vec<f64> {
        self.columns.iter().map(|column| column.low).collect()
    }

    /// The largest value of each column: scikit-learn's `data_max_`.
    pub fn highs(&self) -> Vec<f64> {
        self.columns.iter().map(|column| column.high).collect()
    }

    fn maps(&self) -> Vec<Map> {
        let width = self.range.high - self.range.low;
        let map = |&Extent { low, high }: &Extent| {
            // As scikit-learn has it: less is the same everywhere.
            let own = if high - low < 10.0 * f64::EPSILON { 1.0 } else { high - low };
            Map { from: low, per: own / width, to: self.range.low }
        };
        self.columns.iter().map(map).collect()
    }
}
