//! Tables of named columns, and what is read of them: numbers, texts, classes.

mod csv;
mod groups;

pub use csv::Csv;
pub use groups::Groups;

use super::Sequences;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A column of a [`Table`], by its name or by its place from 0: methods take either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Column<'a> {
    /// The name in the first line.
    Name(&'a str),
    /// The place from 0.
    Place(usize),
}

impl<'a> From<&'a str> for Column<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for Column<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for Column<'_> {
    fn from(place: usize) -> Self {
        Self::Place(place)
    }
}

/// The rows of a CSV file, in its order: what a series, sequences and targets are made of. pandas'
/// `DataFrame`, as far as that needs it.
///
/// All fields are kept as text, without the spaces around them, and become numbers or classes where they
/// are asked for: so a date or a number of a house stays what it is, and an error names the line and the
/// column. Where a field is missing, the caller says what becomes of it: [`Table::drop_missing`],
/// [`Table::fill_forward`] or [`Table::fill_missing`]; without any of them a missing number is an error.
/// Missing is what pandas takes for it: an empty field, `NA`, `N/A`, `n/a`, `<NA>`, `#NA`, `#N/A`,
/// `#N/A N/A`, `NaN`, `nan`, `-NaN`, `-nan`, `null`, `NULL`, `None`, `1.#IND`, `-1.#IND`, `1.#QNAN`,
/// `-1.#QNAN`; and what [`Csv::missing`] adds.
///
/// ```
/// use wgpu_lstm::data::{Csv, Targets};
/// let file = "time,temp,wind,sky\n9:00,1.5,3,clear\n10:00,,4,clear\n11:00,2.5,5,rain\n";
/// let table = Csv::new().read_from(file.as_bytes())?; // or Table::from_csv("weather.csv")
/// assert_eq!(table.names(), ["time", "temp", "wind", "sky"]);
/// assert_eq!(
///     table.numbers(["temp", "wind"]).unwrap_err().to_string(),
///     "the table: line 3, column \"temp\" is missing, expected a finite number; \
///      see Table::drop_missing, fill_forward and fill_missing"
/// );
///
/// let table = table.fill_forward(["temp"])?;
/// assert_eq!(table.numbers(["temp", "wind"])?, [1.5, 3.0, 1.5, 4.0, 2.5, 5.0]); // [3,2]
/// let series = table.series(["temp", "wind"])?; // the same as one sequence of 3 frames
/// assert_eq!((series.len(), series.frames(0)), (1, 3));
/// let sky = table.class_names("sky")?; // sorted: "clear" is 0, "rain" is 1
/// let y = Targets::classes(table.classes("sky", &sky)?);
/// assert_eq!(table.text("time")?[1], "10:00");
/// # let _ = y;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// A table takes the memory of its file and 16 bytes for each field; while it is read, of the file twice.
/// It needs the feature `csv`.
#[derive(Debug, Clone)]
pub struct Table {
    /// What errors call it: the path of its file.
    source: Arc<str>,
    names: Vec<String>,
    text: Arc<String>,
    /// Where each field is in `text`, row by row. Tables that are cut or filled share the text.
    fields: Vec<Range<usize>>,
    /// The line of each row in the file, from 1.
    lines: Vec<u64>,
    /// What is missing, besides what always is.
    missing: Arc<[String]>,
    decimal: char,
}

/// What pandas reads as missing (`STR_NA_VALUES`).
const MISSING: [&str; 19] = [
    "", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NaN", "nan", "-NaN", "-nan",
    "null", "NULL", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
];

impl Table {
    /// Reads a CSV file whose first line has the columns' names, and whose fields are parted by commas:
    /// pandas' `read_csv`. [`Csv`] has options.
    ///
    /// # Errors
    /// Those of [`Csv::read`].
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self> {
        Csv::new().read(path)
    }

    /// The names of the columns. Without a first line of names they are `0`, `1` …
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Some of the rows, in their order: the first ones to train with and the last ones to test, say.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no such rows.
    pub fn rows(&self, rows: Range<usize>) -> Result<Self> {
        if rows.start > rows.end || rows.end > self.len() {
            return Err(Error::Option {
                option: "Table::rows",
                found: format!("{rows:?}"),
                expected: format!("rows of 0..{}", self.len()),
            });
        }
        Ok(self.select(rows))
    }

    /// The rows as one long sequence, a frame each with the numbers of these columns: what a forecast cuts
    /// its windows from.
    ///
    /// # Errors
    /// Those of [`Table::numbers`]; [`Error::Length`] without rows; [`Error::Option`] without columns.
    pub fn series<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Sequences> {
        let columns = all(columns);
        Sequences::new(columns.len(), [self.numbers(columns.iter().copied())?])
    }

    /// The numbers of some columns, row by row `[rows, columns]`. Each is finite.
    ///
    /// # Errors
    /// [`Error::Field`] with the line and the column of a field that is missing, or no finite number;
    /// [`Error::Option`] if there is no such column, or two have the name.
    pub fn numbers<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Vec<f32>> {
        let columns = self.places(columns)?;
        let mut numbers = Vec::with_capacity(self.len() * columns.len());
        for row in 0..self.len() {
            for &column in &columns {
                numbers.push(self.number(row, column)?);
            }
        }
        Ok(numbers)
    }

    /// The fields of a column as they are, such as dates: one for each row.
    ///
    /// # Errors
    /// [`Error::Option`] if there is no such column, or two have the name.
    pub fn text<'a>(&self, column: impl Into<Column<'a>>) -> Result<Vec<&str>> {
        let column = self.place(column.into())?;
        Ok((0..self.len()).map(|row| self.field(row, column)).collect())
    }

    /// The different fields of a column, sorted by their characters' numbers (`B` comes before `a`, and
    /// `10` before `9`), as scikit-learn's `LabelEncoder` has its `classes_`: the names of the classes
    /// 0, 1 … for [`Table::classes`]. `None` and `NA` are names here; an empty field is not.
    ///
    /// # Errors
    /// [`Error::Field`] for an empty field; [`Error::Option`] if there is no such column, or two have the
    /// name.
    pub fn class_names<'a>(&self, column: impl Into<Column<'a>>) -> Result<Vec<String>> {
        let column = self.place(column.into())?;
        let mut names = std::collections::BTreeSet::new();
        for row in 0..self.len() {
            names.insert(self.class_name(row, column)?);
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The class of each row: the place of its field among `names`, which are those of
    /// [`Table::class_names`] of the data that a model is trained with, or your own. So other data get the
    /// same numbers.
    ///
    /// ```
    /// use wgpu_lstm::data::Csv;
    /// let table = Csv::new().header(false).read_from("yes\nno\nyes\n".as_bytes())?;
    /// assert_eq!(table.classes(0, &table.class_names(0)?)?, [1, 0, 1]);
    /// assert_eq!(table.classes(0, &["yes", "no"])?, [0, 1, 0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Field`] for a field that is none of the names; [`Error::Option`] if there is no such column,
    /// or two have the name.
    pub fn classes<'a, S: AsRef<str>>(
        &self,
        column: impl Into<Column<'a>>,
        names: &[S],
    ) -> Result<Vec<u32>> {
        let column = self.place(column.into())?;
        let numbers: std::collections::HashMap<&str, u32> =
            names.iter().map(AsRef::as_ref).zip(0..).collect();
        (0..self.len())
            .map(|row| {
                let name = self.class_name(row, column)?;
                numbers.get(name).copied().ok_or_else(|| {
                    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
                    self.wrong(row, column, format!("one of the {} classes {names:?}", names.len()))
                })
            })
            .collect()
    }

    /// The rows without those in which one of these columns is missing: pandas' `dropna`.
    ///
    /// # Errors
    /// [`Error::Option`] if there is no such column, or two have the name.
    pub fn drop_missing<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Self> {
        let columns = self.places(columns)?;
        let whole = |&row: &usize| !columns.iter().any(|&column| self.is_missing(row, column));
        Ok(self.select((0..self.len()).filter(whole)))
    }

    /// The rows with the last value before it in place of a missing field of these columns: pandas'
    /// `ffill`. What is missing before the first value stays so. Of several sequences in one table, fill
    /// each alone: see [`Groups::map`].
    ///
    /// # Errors
    /// [`Error::Option`] if there is no such column, or two have the name.
    pub fn fill_forward<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Self> {
        let (columns, mut filled) = (self.places(columns)?, self.clone());
        for row in 1..self.len() {
            for &column in &columns {
                if filled.is_missing(row, column) {
                    let (width, at) = (self.names.len(), row * self.names.len() + column);
                    filled.fields[at] = filled.fields[at - width].clone();
                }
            }
        }
        Ok(filled)
    }

    /// The rows with a number in place of a missing field of these columns: pandas' `fillna`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for NaN and infinities; [`Error::Option`] if there is no such column, or two
    /// have the name.
    pub fn fill_missing<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
        value: f32,
    ) -> Result<Self> {
        if !value.is_finite() {
            return Err(Error::NotFinite {
                what: "Table::fill_missing",
                place: format!("its value, {value}"),
                help: "give a number to put where a field is missing",
            });
        }
        let (columns, mut filled) = (self.places(columns)?, self.clone());
        let text = Arc::make_mut(&mut filled.text);
        let start = text.len();
        text.push_str(&value.to_string().replace('.', self.decimal.encode_utf8(&mut [0; 4])));
        let end = text.len();
        for row in 0..self.len() {
            for &column in columns.iter().filter(|&&column| self.is_missing(row, column)) {
                filled.fields[row * self.names.len() + column] = start..end;
            }
        }
        Ok(filled)
    }

    /// The rows of each value of a column, in the order in which the values first appear: pandas'
    /// `groupby`, without sorting. The rows of a value need not lie together; they stay in their order.
    ///
    /// # Errors
    /// [`Error::Field`] for an empty field; [`Error::Option`] if there is no such column, or two have the
    /// name.
    pub fn group_by<'a>(&self, column: impl Into<Column<'a>>) -> Result<Groups> {
        let column = self.place(column.into())?;
        let (mut places, mut groups) = (std::collections::HashMap::new(), Vec::new());
        for row in 0..self.len() {
            let name = self.class_name(row, column)?;
            let place = *places.entry(name).or_insert(groups.len());
            if place == groups.len() {
                groups.push((name.to_owned(), Vec::new()));
            }
            groups[place].1.push(row);
        }
        let table = |(name, rows): (String, Vec<usize>)| (name, self.select(rows.into_iter()));
        Ok(Groups::new(groups.into_iter().map(table).collect()))
    }

    fn select(&self, rows: impl Iterator<Item = usize>) -> Self {
        let (mut fields, mut lines) = (Vec::new(), Vec::new());
        for row in rows {
            let width = self.names.len();
            fields.extend_from_slice(&self.fields[row * width..(row + 1) * width]);
            lines.push(self.lines[row]);
        }
        let (source, names) = (self.source.clone(), self.names.clone());
        let (text, missing) = (self.text.clone(), self.missing.clone());
        Self { source, names, text, fields, lines, missing, decimal: self.decimal }
    }

    fn places<'a, C: Into<Column<'a>>>(
        &self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Vec<usize>> {
        columns.into_iter().map(|column| self.place(column.into())).collect()
    }

    fn place(&self, column: Column<'_>) -> Result<usize> {
        let wrong = |found, expected| Error::Option { option: "Table::column", found, expected };
        match column {
            Column::Place(place) if place < self.names.len() => Ok(place),
            Column::Place(place) => {
                let expected = format!("a place below {}, the number of columns", self.names.len());
                Err(wrong(place.to_string(), expected))
            }
            Column::Name(name) => {
                let mut found = (0..self.names.len()).filter(|&place| self.names[place] == name);
                match (found.next(), found.next()) {
                    (Some(place), None) => Ok(place),
                    (Some(first), Some(second)) => {
                        let found = format!("{name:?}, the name of columns {first} and {second}");
                        Err(wrong(found, "the place of one of them".into()))
                    }
                    (None, _) => {
                        Err(wrong(format!("{name:?}"), format!("one of {:?}", self.names)))
                    }
                }
            }
        }
    }

    fn field(&self, row: usize, column: usize) -> &str {
        &self.text[self.fields[row * self.names.len() + column].clone()]
    }

    fn is_missing(&self, row: usize, column: usize) -> bool {
        let field = self.field(row, column);
        MISSING.contains(&field) || self.missing.iter().any(|missing| missing == field)
    }

    fn number(&self, row: usize, column: usize) -> Result<f32> {
        let field = self.field(row, column);
        let number = match self.decimal {
            '.' => field.parse::<f32>().ok(),
            // A point then parts thousands, or the file has both.
            _ if field.contains('.') => None,
            decimal => field.replace(decimal, ".").parse().ok(),
        };
        match number {
            Some(number) if number.is_finite() && !self.is_missing(row, column) => Ok(number),
            _ if self.is_missing(row, column) => Err(self.wrong(
                row,
                column,
                "a finite number; see Table::drop_missing, fill_forward and fill_missing".into(),
            )),
            _ => Err(self.wrong(row, column, "a finite number".into())),
        }
    }

    /// A field that names something, and so is not empty. Of the words for what is missing some are names,
    /// such as None.
    fn class_name(&self, row: usize, column: usize) -> Result<&str> {
        let field = self.field(row, column);
        let missing = field.is_empty() || self.missing.iter().any(|missing| missing == field);
        let wrong = || self.wrong(row, column, "a name; see Table::drop_missing".into());
        if missing { Err(wrong()) } else { Ok(field) }
    }

    /// That a field is not what it should be.
    fn wrong(&self, row: usize, column: usize, expected: String) -> Error {
        let found = match self.field(row, column) {
            "" => "missing".into(),
            // A text of any length has no place in a message.
            field => format!("{:?}", field.chars().take(80).collect::<String>()),
        };
        let (path, line) = (self.source.to_string(), self.lines[row]);
        Error::Field { path, line, column: self.names[column].clone(), found, expected }
    }
}

fn all<'a, C: Into<Column<'a>>>(columns: impl IntoIterator<Item = C>) -> Vec<Column<'a>> {
    columns.into_iter().map(Into::into).collect()
}
