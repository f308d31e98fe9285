//! How often each class was taken for each.

use super::average::{Average, Counts, share};
use crate::data::Integer;
use crate::{Error, Result};
use std::fmt;

/// How often each class was taken for each: a row for each label, a column for each answer, as
/// scikit-learn's `confusion_matrix`. Rows of data can be added one by one, and in any order.
///
/// ```
/// use wgpu_lstm::train::metrics::{Average, ConfusionMatrix};
/// let matrix = ConfusionMatrix::of(&[0, 0, 1, 2], &[0, 1, 1, 2], 3)?;
/// assert_eq!(matrix.row(0), [1.0, 1.0, 0.0]);
/// assert_eq!(matrix.accuracy(), 0.75);
/// assert_eq!(matrix.recall(Average::Class(0)), 0.5);
/// // A row for each label, with its number before it.
/// assert_eq!(matrix.to_string(), "label  0 1 2\n    0  1 1 0\n    1  0 1 0\n    2  0 0 1");
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionMatrix {
    cells: Vec<f64>,
    /// For each label, the weight of the rows without an answer.
    silent: Vec<f64>,
}

impl ConfusionMatrix {
    /// An empty matrix for so many classes.
    ///
    /// # Errors
    /// [`Error::Option`] for none, or for more than memory has room for.
    pub fn new(classes: usize) -> Result<Self> {
        let cells = classes.checked_mul(classes).filter(|&cells| cells > 0);
        let mut matrix = Self { cells: Vec::new(), silent: Vec::new() };
        if let Some(cells) = cells
            && matrix.cells.try_reserve_exact(cells).is_ok()
        {
            matrix.cells.resize(cells, 0.0);
            matrix.silent.resize(classes, 0.0);
            return Ok(matrix);
        }
        Err(Error::Option {
            option: "ConfusionMatrix::classes",
            found: classes.to_string(),
            expected: "at least 1, and a number whose square fits into memory".into(),
        })
    }

    /// The matrix of some answers to labels, one by one: integers of any type, or `bool`.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::new`] and [`ConfusionMatrix::add`]; [`Error::Count`] if there is not one
    /// answer for each label.
    pub fn of<L: Integer, A: Integer>(labels: &[L], answers: &[A], classes: usize) -> Result<Self> {
        same_count("ConfusionMatrix::of", labels.len(), answers.len())?;
        let mut matrix = Self::new(classes)?;
        for (row, (&label, &answer)) in labels.iter().zip(answers).enumerate() {
            // What is no u32 is no class.
            let [label, answer] = [label.to_u32(), answer.to_u32()].map(|n| n.unwrap_or(u32::MAX));
            matrix.add_row(row, label, Some(answer), 1.0)?;
        }
        Ok(matrix)
    }

    /// Adds a row of data: its label, what a model answered (`None` if it had no answer: its output was not
    /// a number), and its weight.
    ///
    /// # Errors
    /// [`Error::Label`] for a label or answer that is no class.
    pub fn add(&mut self, label: u32, answer: Option<u32>, weight: f64) -> Result<()> {
        self.add_row(0, label, answer, weight)
    }

    pub(crate) fn add_row(
        &mut self,
        row: usize,
        label: u32,
        answer: Option<u32>,
        weight: f64,
    ) -> Result<()> {
        let classes = self.classes();
        if let Some(found) =
            [Some(label), answer].into_iter().flatten().find(|&c| c as usize >= classes)
        {
            return Err(Error::Label { row, found, classes });
        }
        match answer {
            Some(answer) => self.cells[label as usize * classes + answer as usize] += weight,
            None => self.silent[label as usize] += weight,
        }
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.silent.len()
    }

    /// The weight of the rows with this label, for each answer; empty if there is no such label.
    pub fn row(&self, label: usize) -> &[f64] {
        self.cells.chunks_exact(self.classes()).nth(label).unwrap_or_default()
    }

    /// For each label, the weight of the rows without an answer.
    #[cfg(feature = "plot")]
    pub(crate) fn silent(&self) -> &[f64] {
        &self.silent
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |class: usize| {
            let answers = self.cells.iter().skip(class).step_by(self.classes()).sum();
            let row = self.row(class);
            [answers, row.iter().sum::<f64>() + self.silent[class], row[class]]
        };
        Counts { classes: (0..self.classes()).map(of).collect(), columns: false }
    }

    /// The share of right answers; 0 of no rows.
    pub fn accuracy(&self) -> f64 {
        self.counts().recall(Average::Micro)
    }

    /// The share of the answers with a class that are right: tp / (tp + fp), 0 where there are none.
    pub fn precision(&self, average: Average) -> f64 {
        self.counts().precision(average)
    }

    /// The share of the rows of a class that are answered with it: tp / (tp + fn), 0 where there are none. It is the
    /// sensitivity of a test.
    pub fn recall(&self, average: Average) -> f64 {
        self.counts().recall(average)
    }

    /// The share of the rows of all other classes that are answered with one of those: tn / (tn + fp), 0 where there are
    /// none. With [`Average::Class`] each class is a test for it, of which [`ConfusionMatrix::recall`] is the
    /// sensitivity. A class that is neither a label nor an answer is left out of all averages; `Weighted` goes by the
    /// labels, as imbalanced-learn's `specificity_score`.
    ///
    /// ```
    /// use wgpu_lstm::train::metrics::{Average, ConfusionMatrix};
    /// // Four that are well, of which one is said to be ill, and one that is ill.
    /// let matrix = ConfusionMatrix::of(&[0, 0, 0, 0, 1], &[0, 0, 0, 1, 1], 2)?;
    /// let ill = Average::Class(1);
    /// assert_eq!((matrix.specificity(ill), matrix.recall(ill)), (0.75, 1.0));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn specificity(&self, average: Average) -> f64 {
        let counts = self.counts();
        let rows: f64 = self.cells.iter().chain(&self.silent).sum();
        let answered: f64 = self.cells.iter().sum();
        counts.averaged(average, |classes| {
            let all = average != Average::Micro;
            let occurring = classes.iter().filter(|&&class| all || counts.occurs(class));
            let (right, of) = occurring.fold((0.0, 0.0), |(right, of), &class| {
                let [answers, labels, both] = counts.classes[class];
                // What has no answer is no right one.
                let others = answered - (labels - self.silent[class]);
                (right + others - (answers - both), of + rows - labels)
            });
            share(right, of)
        })
    }

    /// The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn), 0 of 0 / 0.
    pub fn f1(&self, average: Average) -> f64 {
        self.counts().f1(average)
    }

    /// Matthews' coefficient of correlation between labels and answers, from -1 to 1, for any number of
    /// classes (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006); 0 where either is always the same.
    pub fn mcc(&self) -> f64 {
        self.counts().mcc()
    }
}

/// A table: the number of each answer above its column, and that of each label before its row. A column `none`
/// has the rows without an answer, if there are any. Weights are rounded to three decimals.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |weight: f64| {
            let text = format!("{weight:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let silent = self.silent.iter().any(|&weight| weight != 0.0);
        let head = (0..self.classes()).map(|class| class.to_string());
        let mut rows = vec![head.chain(silent.then(|| "none".into())).collect::<Vec<_>>()];
        for (label, weight) in self.silent.iter().enumerate() {
            let cells = self.row(label).iter().chain(silent.then_some(weight));
            rows.push(cells.map(|&weight| number(weight)).collect());
        }
        let width = rows.iter().flatten().map(String::len).max().unwrap_or(0);
        for (at, cells) in rows.iter().enumerate() {
            match at.checked_sub(1) {
                None => write!(f, "label ")?,
                Some(label) => write!(f, "\n{label:>5} ")?,
            }
            cells.iter().try_for_each(|cell| write!(f, " {cell:>width$}"))?;
        }
        Ok(())
    }
}

/// Checks that there are as many of one as of the other.
pub(super) fn same_count(op: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Count { op, shape: vec![expected], expected, found })
}
