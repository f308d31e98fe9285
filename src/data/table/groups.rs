//! The rows of a table by the values of a column: a sequence of each.

use super::{Column, Table, all};
use crate::data::{Sequences, Targets};
use crate::{Error, Result};

/// The rows of a [`Table`] that have the same value in a column, such as the number of a patient or of a
/// recording: each a table of its own, and a sequence. Made by [`Table::group_by`]; it needs the feature `csv`.
///
/// ```
/// use wgpu_lstm::data::{Csv, Targets};
/// let file = "who,heart,ill\nb,60,no\nb,62,no\na,90,yes\nb,61,no\n";
/// let table = Csv::new().read_from(file.as_bytes())?;
/// let patients = table.group_by("who")?;
/// assert_eq!(patients.names(), ["b", "a"]);
/// let x = patients.sequences(["heart"])?;
/// assert_eq!((x.get(0), x.get(1)), (&[60.0, 62.0, 61.0][..], &[90.0][..]));
/// // One class for each sequence; Groups::frame_classes gives one for each row.
/// let y = patients.classes("ill", &table.class_names("ill")?)?;
/// assert_eq!(y, Targets::classes([0, 1]));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Groups {
    names: Vec<String>,
    tables: Vec<Table>,
}

impl Groups {
    pub(super) fn new(groups: Vec<(String, Table)>) -> Self {
        let (names, tables) = groups.into_iter().unzip();
        Self { names, tables }
    }

    /// The value that each group has, in the order in which they first appear in the table.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The rows of group `i`; `None` if there is no such group.
    pub fn get(&self, i: usize) -> Option<&Table> {
        self.tables.get(i)
    }

    /// Each group changed alone, so that what is missing is not filled from the sequence before:
    /// `groups.map(|table| table.fill_forward(["heart"]))`.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn map(self, change: impl FnMut(&Table) -> Result<Table>) -> Result<Self> {
        let tables = self.tables.iter().map(change).collect::<Result<_>>()?;
        Ok(Self { names: self.names, tables })
    }

    /// A sequence of each group: a frame for each row, with the numbers of these columns.
    ///
    /// # Errors
    /// Those of [`Table::numbers`]; [`Error::Length`] for a group without rows, which [`Groups::map`] may
    /// leave; [`Error::Option`] without columns.
    pub fn sequences<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Sequences> {
        let columns = all(columns);
        let numbers = |table: &Table| table.numbers(columns.iter().copied());
        let sequences = self.tables.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        Sequences::new(columns.len(), sequences)
    }

    /// Numbers for each sequence: those of these columns, which are the same in all rows of a group.
    ///
    /// # Errors
    /// [`Error::Field`] for a row that has others than the first of its group, and those of
    /// [`Table::numbers`]; [`Error::Length`] for a group without rows.
    pub fn values<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Targets> {
        let columns = all(columns);
        let mut values = Vec::new();
        for (i, table) in self.tables.iter().enumerate() {
            for &column in &columns {
                let of_rows = table.numbers([column])?;
                values.push(self.one(i, column, &of_rows, "Groups::frame_values")?);
            }
        }
        Ok(Targets::values(values, columns.len()))
    }

    /// A class for each sequence: that of this column, which is the same in all rows of a group. The names
    /// of the classes are as for [`Table::classes`].
    ///
    /// # Errors
    /// [`Error::Field`] for a row that has another than the first of its group, and those of
    /// [`Table::classes`]; [`Error::Length`] for a group without rows.
    pub fn classes<'a, S: AsRef<str>>(
        &self,
        column: impl Into<Column<'a>>,
        names: &[S],
    ) -> Result<Targets> {
        let column = column.into();
        let class = |(i, table): (usize, &Table)| {
            self.one(i, column, &table.classes(column, names)?, "Groups::frame_classes")
        };
        let classes = self.tables.iter().enumerate().map(class).collect::<Result<Vec<_>>>()?;
        Ok(Targets::classes(classes))
    }

    /// Numbers for each frame, in the order of [`Groups::sequences`]: those of these columns.
    ///
    /// # Errors
    /// Those of [`Table::numbers`].
    pub fn frame_values<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Targets> {
        let columns = all(columns);
        let numbers = |table: &Table| table.numbers(columns.iter().copied());
        let values = self.tables.iter().map(numbers).collect::<Result<Vec<_>>>()?;
        Ok(Targets::values(values.concat(), columns.len()))
    }

    /// A class for each frame, in the order of [`Groups::sequences`]: that of this column. The names of the
    /// classes are as for [`Table::classes`].
    ///
    /// # Errors
    /// Those of [`Table::classes`].
    pub fn frame_classes<'a, S: AsRef<str>>(
        &self,
        column: impl Into<Column<'a>>,
        names: &[S],
    ) -> Result<Targets> {
        let column = column.into();
        let classes = |table: &Table| table.classes(column, names);
        let classes = self.tables.iter().map(classes).collect::<Result<Vec<_>>>()?;
        Ok(Targets::classes(classes.concat()))
    }

    /// What all rows of a group have.
    fn one<T: Copy + PartialEq>(
        &self,
        group: usize,
        column: Column<'_>,
        of_rows: &[T],
        else_method: &str,
    ) -> Result<T> {
        let table = &self.tables[group];
        let Some(&first) = of_rows.first() else {
            return Err(Error::Length { row: group, found: 0, max: u32::MAX as usize });
        };
        let column = table.place(column)?;
        match of_rows.iter().position(|&value| value != first) {
            None => Ok(first),
            Some(row) => {
                let (name, field) = (&self.names[group], table.field(0, column));
                let expected = format!("{field:?}, as in the first row of {name:?}");
                Err(table.wrong(row, column, format!("{expected}; or {else_method}")))
            }
        }
    }
}
