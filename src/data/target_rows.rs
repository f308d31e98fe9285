//! Targets row by row: made of rows, read back, selected.

use super::cut::{check_below, within};
use super::numbers::{Number, Row};
use super::{Kind, Sequences, Targets};
use crate::check::check_not_zero;
use crate::{Error, Result};
use std::ops::RangeBounds;

impl Targets {
    /// Numbers row by row: one row for each sequence or frame, all of one width.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// let y = Targets::from_rows(vec![vec![1, 2], vec![3, 4], vec![5, 6]])?;
    /// assert_eq!(y, Targets::values([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for rows of no numbers, [`Error::Count`] if one has more or fewer than the first.
    pub fn from_rows<R: Row<Element: Number>>(rows: impl IntoIterator<Item = R>) -> Result<Self> {
        let (mut values, mut width) = (Vec::new(), None);
        for row in rows {
            let row = row.elements();
            let width = *width.get_or_insert(row.len());
            check_not_zero("Targets::width", width)?;
            if row.len() != width {
                return Err(Error::Count {
                    op: "Targets::from_rows",
                    shape: vec![width],
                    expected: width,
                    found: row.len(),
                });
            }
            values.extend(row.iter().map(|value| value.to_f32()));
        }
        Ok(Self::values(values, width.unwrap_or(1)))
    }

    /// The number of targets: one for each sequence, or for each frame of each; of sequences of labels one for each
    /// sequence.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Classes(labels) => labels.len(),
            Kind::Values { values, width } => values.len().checked_div(*width).unwrap_or(0),
            Kind::Sequences(rows) => rows.len(),
        }
    }

    /// Whether there are no targets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers each target has; 1 for classes and for sequences of labels.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Values { width, .. } => *width,
            Kind::Classes(_) | Kind::Sequences(_) => 1,
        }
    }

    /// The classes; `None` if the targets are numbers or sequences.
    pub fn as_classes(&self) -> Option<&[u32]> {
        match &self.kind {
            Kind::Classes(labels) => Some(labels),
            _ => None,
        }
    }

    /// The numbers, row by row; `None` if the targets are classes or sequences.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// let y = Targets::values([1.0, 2.0, 3.0, 4.0], 2);
    /// assert_eq!(y.as_values().unwrap().chunks(y.width()).nth(1), Some(&[3.0, 4.0][..]));
    /// assert_eq!((y.as_classes(), y.len()), (None, 2));
    /// ```
    pub fn as_values(&self) -> Option<&[f32]> {
        match &self.kind {
            Kind::Values { values, .. } => Some(values),
            _ => None,
        }
    }

    /// The labels of each sequence, of [`Targets::sequences`]; `None` for other targets.
    pub fn as_sequences(&self) -> Option<&[Vec<u32>]> {
        match &self.kind {
            Kind::Sequences(rows) => Some(rows),
            _ => None,
        }
    }

    /// The class of each target: those that were given, or single numbers that are whole, such as 0.0 and 1.0
    /// for a binary loss. For splits that keep the shares of the classes.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// assert_eq!(Targets::values([0.0, 1.0, 1.0], 1).labels()?, [0, 1, 1]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a width other than 1, [`Error::Target`] for a number that is not whole, or below 0;
    /// [`Error::Unsupported`] for [`Targets::sequences`].
    pub fn labels(&self) -> Result<Vec<u32>> {
        let (values, width) = match &self.kind {
            Kind::Classes(labels) => return Ok(labels.clone()),
            Kind::Values { values, width } => (values, *width),
            Kind::Sequences(_) => {
                return Err(Error::Unsupported {
                    what: "Targets::labels",
                    with: "Targets::sequences",
                    help: "such a target has several labels: see Targets::as_sequences",
                });
            }
        };
        if width != 1 {
            return Err(Error::Option {
                option: "Targets::width",
                found: width.to_string(),
                expected: "1, a class for each target".into(),
            });
        }
        let label = |(at, &found): (usize, &f32)| match found >= 0.0 && found.fract() == 0.0 {
            true if found < (1 << 24) as f32 => Ok(found as u32),
            _ => Err(Error::Target { at, found, expected: "a whole number from 0, a class" }),
        };
        values.iter().enumerate().map(label).collect()
    }

    /// The targets of these numbers, in this order. Where a model gives a value for each frame, take
    /// [`Targets::of_sequences`].
    ///
    /// ```
    /// use wgpu_lstm::data::{Targets, train_test_split};
    /// let y = Targets::classes([3, 0, 8, 5]);
    /// assert_eq!(y.select(&[2, 0])?, Targets::classes([8, 3]));
    /// let (train, test) = train_test_split(y.len(), 0.25, 7)?;
    /// assert_eq!((y.select(&train)?.len(), y.select(&test)?.len()), (3, 1));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a number that is not below [`Targets::len`].
    pub fn select(&self, targets: &[usize]) -> Result<Self> {
        check_below("Targets::select", "targets", targets, self.len())?;
        Ok(self.rows(targets.iter().copied()))
    }

    /// The targets of a range of numbers.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// assert_eq!(Targets::classes([3, 0, 8]).slice(1..)?, Targets::classes([0, 8]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a range that goes beyond [`Targets::len`].
    pub fn slice(&self, targets: impl RangeBounds<usize>) -> Result<Self> {
        Ok(self.rows(within("Targets::slice", targets, self.len())?))
    }

    /// The targets of some of the sequences that these are all the targets of: one of each sequence if there
    /// are as many, else one for each of its frames, else equally many; of sequences of labels one of each.
    ///
    /// ```
    /// use wgpu_lstm::data::{Sequences, Targets};
    /// // A class for each frame: 2 of the first sequence, 1 of the second, 3 of the third.
    /// let x = Sequences::new(1, [vec![0.1, 0.2], vec![0.3], vec![0.4, 0.5, 0.6]])?;
    /// let y = Targets::classes([1, 2, 3, 4, 5, 6]);
    /// let some = [2, 0];
    /// assert_eq!(y.of_sequences(&x, &some)?, Targets::classes([4, 5, 6, 1, 2]));
    /// assert_eq!(x.select(&some)?.total_frames(), 5);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Targets`] if there is neither one for each sequence of `x` or each frame, nor equally many for
    /// each sequence; [`Error::Option`] for a number that is not below their number.
    pub fn of_sequences(&self, x: &Sequences, sequences: &[usize]) -> Result<Self> {
        const OP: &str = "Targets::of_sequences";
        let (targets, n) = (self.len(), x.len());
        check_below(OP, "sequences", sequences, n)?;
        let whole = self.as_sequences().is_some();
        if targets == x.total_frames() && targets != n && !whole {
            return Ok(self.rows(sequences.iter().flat_map(|&i| x.range(i))));
        }
        if n == 0 || targets == 0 || !targets.is_multiple_of(n) || (whole && targets != n) {
            return Err(Error::Targets {
                op: OP,
                sequences: n,
                expected: n,
                found: targets,
                help: "a target for each sequence of x, or for each of their frames",
            });
        }
        let each = targets / n;
        Ok(self.rows(sequences.iter().flat_map(|&i| i * each..(i + 1) * each)))
    }

    /// The targets of all parts, one part after the other.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// let (a, b) = (Targets::classes([3]), Targets::classes([0, 8]));
    /// assert_eq!(Targets::concat([&a, &b])?, Targets::classes([3, 0, 8]));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] without parts, [`Error::Unsupported`] if they are not of one kind and width.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next().cloned() else {
            let (option, found) = ("Targets::concat", "of no parts".into());
            return Err(Error::Option { option, found, expected: "of at least one".into() });
        };
        for part in parts {
            if !all.append(part) {
                return Err(Error::Unsupported {
                    what: "Targets::concat",
                    with: "parts of different kinds",
                    help: "all are classes, numbers of one width, or sequences of labels",
                });
            }
        }
        Ok(all)
    }

    /// The targets of these numbers, which are there.
    pub(super) fn rows(&self, targets: impl Iterator<Item = usize>) -> Self {
        let kind = match &self.kind {
            Kind::Classes(labels) => Kind::Classes(targets.map(|row| labels[row]).collect()),
            Kind::Values { values, width } => {
                let row = |row: usize| &values[row * width..][..*width];
                Kind::Values { values: targets.flat_map(row).copied().collect(), width: *width }
            }
            Kind::Sequences(rows) => {
                Kind::Sequences(targets.map(|row| rows[row].clone()).collect())
            }
        };
        Self { kind }
    }
}
