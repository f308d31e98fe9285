//! A confusion matrix as a picture.

use super::cells::Cells;
use super::picture::{Panel, Picture};
use super::{same, texts};
use crate::Result;
use crate::train::metrics::ConfusionMatrix;

impl ConfusionMatrix {
    /// A picture: a row for each true class, a column for each answer. The colour of a cell and its lower
    /// number are the share of the row, so that classes of any size compare, and the diagonal is the recall;
    /// the upper number is the count. `names` are those of the classes, or none for their numbers. A column
    /// `none` has the rows without an answer, if there are any. Numbers that do not fit their cells are left
    /// out.
    ///
    /// ```
    /// use wgpu_lstm::train::metrics::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?;
    /// let picture = matrix.plot(&["cat", "dog"])?.title("answers");
    /// assert!(picture.to_svg()?.contains(">50 %</text>"));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Count`] if there is neither no name nor one for each class.
    pub fn plot(&self, names: &[impl AsRef<str>]) -> Result<Picture> {
        let classes = self.classes();
        if !names.is_empty() {
            same("ConfusionMatrix::plot", &[classes], names.len())?;
        }
        let silent = self.silent().iter().any(|&weight| weight != 0.0);
        let mut names = texts(names);
        if names.is_empty() {
            names = (0..classes).map(|class| class.to_string()).collect();
        }
        let (mut values, mut cells) = (Vec::new(), Vec::new());
        for (label, own) in self.silent().iter().enumerate() {
            let row: Vec<_> = self.row(label).iter().chain(silent.then_some(own)).collect();
            let all: f64 = row.iter().copied().sum();
            for &&weight in &row {
                // A class without rows has no shares.
                let share = if all > 0.0 { weight / all } else { 0.0 };
                values.push(share as f32);
                cells.push([count(weight), percent(share)]);
            }
        }
        let mut columns = names.clone();
        columns.extend(silent.then(|| "none".to_owned()));
        let shape = [classes, columns.len()];
        let side = (180.0 + 62.0 * columns.len() as f64).clamp(380.0, 1000.0) as u32;
        let panel = Cells {
            values,
            shape,
            rows: names,
            columns,
            down: "truth".into(),
            across: "answer".into(),
            range: Some([0.0, 1.0]),
            texts: cells,
            ..Cells::default()
        };
        Ok(Picture::new(vec![Panel::Cells(panel)], [side + 60, side]))
    }
}

/// A count, or a weight to two decimals.
fn count(weight: f64) -> String {
    match weight.fract() == 0.0 {
        true => format!("{weight}"),
        false => format!("{weight:.2}"),
    }
}

/// A share in percent: what is not quite all or nothing does not round to it.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        p if p > 0.0 && p < 0.5 => "< 1 %".into(),
        p if p > 99.5 && p < 100.0 => "> 99 %".into(),
        p => format!("{p:.0} %"),
    }
}
