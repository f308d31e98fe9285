//! Reading of CSV files.

use super::super::texts;
use super::Table;
use crate::file::io;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// How a CSV file is written; the options of pandas' `read_csv`. By default the first line has the columns'
/// names, commas part the fields, and there are no comments.
///
/// A field in double quotes may hold commas, line breaks and, written twice, double quotes. Empty lines are
/// left out, and so are the spaces around a field and a mark of UTF-8 (BOM) at the beginning. It needs the
/// feature `csv`.
///
/// ```
/// use wgpu_lstm::data::Csv;
/// let file = "# by station 7\n'quoted'; 1,5\n\"a;b\"; -200\n";
/// let csv = Csv::new().header(false).delimiter(';').decimal(',').comment('#').missing("-200");
/// let table = csv.read_from(file.as_bytes())?;
/// assert_eq!(table.text(0)?, ["'quoted'", "a;b"]);
/// assert_eq!(table.fill_missing([1], 0.25)?.numbers([1])?, [1.5, 0.25]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Csv {
    delimiter: char,
    header: bool,
    comment: Option<char>,
    decimal: char,
    missing: Vec<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self::new()
    }
}

impl Csv {
    /// A file with names in its first line, and commas.
    pub fn new() -> Self {
        Self { delimiter: ',', header: true, comment: None, decimal: '.', missing: Vec::new() }
    }

    /// Sets what parts the fields: an ASCII character, such as `';'` or `'\t'`. `sep` in pandas.
    #[must_use]
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Sets whether the first line has the columns' names. Without, they are called `0`, `1` …
    #[must_use]
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// Sets what a line begins with that is left out: an ASCII character.
    #[must_use]
    pub fn comment(mut self, comment: char) -> Self {
        self.comment = Some(comment);
        self
    }

    /// Sets what stands before the fractions of numbers: `','` in much of Europe's files.
    #[must_use]
    pub fn decimal(mut self, decimal: char) -> Self {
        self.decimal = decimal;
        self
    }

    /// Adds a text that means a missing field, such as `"?"` or `"-200"`: `na_values` in pandas. [`Table`]
    /// says which ones do so anyway.
    #[must_use]
    pub fn missing(mut self, text: impl Into<String>) -> Self {
        self.missing.push(text.into());
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::File`], with the line, if a row has more or fewer fields
    /// than the first, or something is not UTF-8, and if there is nothing; [`Error::Option`] for a delimiter
    /// or comment that is not an ASCII character.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        self.parse(&texts::read(path)?, &path.display().to_string())
    }

    /// Reads what is no file of its own, such as bytes in memory or standard input; errors call it
    /// `the table`.
    ///
    /// # Errors
    /// Those of [`Csv::read`].
    pub fn read_from(&self, mut reader: impl Read) -> Result<Table> {
        const SOURCE: &str = "the table";
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|error| io("read", Path::new(SOURCE), error))?;
        self.parse(&texts::utf8(bytes, Path::new(SOURCE))?, SOURCE)
    }

    fn parse(&self, file: &str, source: &str) -> Result<Table> {
        let delimiter = ascii("Csv::delimiter", self.delimiter)?;
        let comment = self.comment.map(|c| ascii("Csv::comment", c)).transpose()?;
        // The first line counts as any other, so that it must have as many fields.
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .comment(comment)
            .from_reader(file.as_bytes());
        let line = |at: Option<&csv::Position>| line(file, at, comment);
        let (mut text, mut fields, mut lines) = (String::new(), Vec::new(), Vec::new());
        let (mut names, mut record) = (Vec::new(), csv::StringRecord::new());
        let wrong = |error: csv::Error| wrong(source, line(error.position()), &error);
        while reader.read_record(&mut record).map_err(wrong)? {
            let trimmed = record.iter().map(str::trim);
            if names.is_empty() {
                names = match self.header {
                    true => trimmed.map(str::to_owned).collect(),
                    false => (0..record.len()).map(|place| place.to_string()).collect(),
                };
                if self.header {
                    continue;
                }
            }
            for field in record.iter().map(str::trim) {
                let start = text.len();
                text.push_str(field);
                fields.push(start..text.len());
            }
            lines.push(line(record.position()));
        }
        if names.is_empty() {
            return Err(Error::File {
                path: source.into(),
                entry: "the table".into(),
                expected: "at least a line of names or fields".into(),
                found: "empty".into(),
            });
        }
        text.shrink_to_fit();
        Ok(Table {
            source: source.into(),
            names,
            text: Arc::new(text),
            fields,
            lines,
            missing: self.missing.as_slice().into(),
            decimal: self.decimal,
        })
    }
}

/// The line in which a record begins that has this position: that of what is left out before it.
fn line(file: &str, at: Option<&csv::Position>, comment: Option<u8>) -> u64 {
    let Some(at) = at else { return 1 };
    let mut line = at.line();
    let mut rest = usize::try_from(at.byte()).ok().and_then(|byte| file.as_bytes().get(byte..));
    loop {
        rest = match rest {
            Some([b'\r', behind @ ..]) => Some(behind),
            Some([b'\n', behind @ ..]) => {
                line += 1;
                Some(behind)
            }
            Some([first, behind @ ..]) if Some(*first) == comment => {
                behind.iter().position(|&byte| byte == b'\n').map(|end| &behind[end..])
            }
            _ => return line,
        }
    }
}

fn ascii(option: &'static str, found: char) -> Result<u8> {
    let wrong = || Error::Option {
        option,
        found: format!("{found:?}"),
        expected: "an ASCII character, other than a double quote or a line break".into(),
    };
    match u8::try_from(found) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
        _ => Err(wrong()),
    }
}

fn wrong(source: &str, line: u64, error: &csv::Error) -> Error {
    let (expected, found) = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => (
            format!("of {expected_len}, as the first; see Csv::delimiter"),
            format!("of {len} fields"),
        ),
        _ => ("a row of fields".into(), format!("unreadable ({error})")),
    };
    Error::File { path: source.into(), entry: format!("line {line}"), expected, found }
}
