//! A matrix as a picture.

use super::cells::Cells;
use super::picture::{Panel, Picture};
use super::{same, texts};
use crate::{Error, Result};

/// A matrix as colours: attention from each step of an output to each of an input, saliency of words, weights.
/// Light is little and dark is much; where there are negative values, they are orange, positive ones blue, and
/// 0 is white. NaN is grey.
///
/// ```
/// use wgpu_lstm::plot::HeatMap;
/// // How far each of two words of the answer looks at each of three of the question.
/// let weights = [0.7, 0.2, 0.1, 0.1, 0.1, 0.8];
/// let svg = HeatMap::new(&weights, [2, 3])
///     .rows(&["le", "chat"])
///     .columns(&["the", "black", "cat"])
///     .plot()?
///     .title("attention")
///     .to_svg()?;
/// assert!(svg.contains(">black</text>"));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "`plot` makes a picture of it"]
pub struct HeatMap {
    pub(super) cells: Cells,
    found: usize,
}

impl HeatMap {
    /// A matrix of `[rows, columns]`, row by row; the first row is drawn at the top.
    pub fn new(values: &[f32], [rows, columns]: [usize; 2]) -> Self {
        let cells = Cells { values: values.to_vec(), shape: [rows, columns], ..Cells::default() };
        Self { cells, found: values.len() }
    }

    /// A label for each row; their numbers from 0 by default.
    pub fn rows(mut self, labels: &[impl AsRef<str>]) -> Self {
        self.cells.rows = texts(labels);
        self
    }

    /// A label for each column; their numbers from 0 by default.
    pub fn columns(mut self, labels: &[impl AsRef<str>]) -> Self {
        self.cells.columns = texts(labels);
        self
    }

    /// What the rows are, and what the columns: nothing by default.
    pub fn axes(mut self, rows: &str, columns: &str) -> Self {
        self.cells.down = rows.to_owned();
        self.cells.across = columns.to_owned();
        self
    }

    /// The values of the lightest and of the darkest colour, by default the least value and the greatest; where the
    /// first is negative and the second is not, 0 is white and both sides have one measure.
    pub fn range(mut self, low: f32, high: f32) -> Self {
        self.cells.range = Some([low, high]);
        self
    }

    /// The picture.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer values than cells, or labels than rows or columns;
    /// [`Error::Empty`] for no row or column; [`Error::Option`] for a range that is none.
    pub fn plot(&self) -> Result<Picture> {
        let cells = &self.cells;
        let [rows, columns] = cells.shape;
        if rows == 0 || columns == 0 {
            let found = cells.shape.to_vec();
            return Err(Error::Empty { op: "HeatMap::new", arg: "values", axes: "[R,C]", found });
        }
        same("HeatMap::new", &cells.shape, self.found)?;
        if !cells.rows.is_empty() {
            same("HeatMap::rows", &[rows], cells.rows.len())?;
        }
        if !cells.columns.is_empty() {
            same("HeatMap::columns", &[columns], cells.columns.len())?;
        }
        if let Some([low, high]) = cells.range.filter(|[l, h]| !(l < h && (h - l).is_finite())) {
            return Err(Error::Option {
                option: "HeatMap::range",
                found: format!("from {low} to {high}"),
                expected: "finite numbers, the first below the second".into(),
            });
        }
        let size =
            |count: usize, least: f64| (least + 40.0 * count as f64).clamp(240.0, 900.0) as u32;
        Ok(Picture::new(
            vec![Panel::Cells(cells.clone())],
            [size(columns, 260.0), size(rows, 140.0)],
        ))
    }
}
