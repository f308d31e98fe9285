//! Logs as text with commas.

use super::Callback;
use super::monitor::values;
use crate::file::State;
use crate::train::run::Run;
use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Writes a row for each epoch to a CSV file: Keras' `CSVLogger`.
///
/// The columns are `epoch`, `loss`, the metrics, the same over the validation data as `val_loss` and so on,
/// `learning_rate` (empty for an optimizer that has none) and `seconds`, validation included. `epoch` counts
/// the rows from 1. Each number is the shortest that reads back as the same 32-bit float. Each row is in the
/// file before the next epoch begins.
///
/// Folders that are missing are made. A new training replaces the file. One that resumes from a checkpoint goes on behind the row that the file
/// had then; given by reference to a second `fit`, the log goes on, too.
///
/// ```
/// use wgpu_lstm::train::{CsvLog, Fit};
/// let fit = Fit::new().epochs(10).callback(CsvLog::new("training.csv"));
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct CsvLog {
    file: CsvFile,
    /// The names of what is measured, once there is a header.
    columns: Vec<String>,
    rows: usize,
    began: Instant,
}

impl CsvLog {
    /// Writes to this file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let file = CsvFile::new(path.as_ref());
        Self { file, columns: Vec::new(), rows: 0, began: Instant::now() }
    }
}

impl Callback for CsvLog {
    fn begin(&mut self, _run: &mut Run<'_>) -> Result<()> {
        self.began = Instant::now();
        self.file.open()
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        let Some(epoch) = run.history().epochs.last() else { return Ok(()) };
        let values = values(epoch);
        let mut text = String::new();
        if self.file.is_empty() {
            self.columns = values.iter().map(|(name, _)| name.clone()).collect();
            text = format!("epoch,{},learning_rate,seconds\n", line(&self.columns));
        }
        self.rows += 1;
        text += &self.rows.to_string();
        for column in &self.columns {
            let value = values.iter().find(|(name, _)| name == column);
            text += &format!(",{}", value.map_or(String::new(), |(_, value)| number(*value)));
        }
        let rate = run.learning_rate().map_or(String::new(), number);
        text += &format!(",{rate},{:.3}\n", self.began.elapsed().as_secs_f64());
        self.began = Instant::now();
        self.file.write(&text)
    }

    fn state(&self) -> Result<State> {
        let mut state = self.file.state();
        state.set_number("rows", self.rows as f64);
        state.set_text("columns", self.columns.join("\n"));
        Ok(state)
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        self.rows = state.number("rows")? as usize;
        self.columns = state.text("columns")?.lines().map(str::to_owned).collect();
        self.file.set_state(state)
    }
}

/// A file that grows by rows, and that a resumed training cuts to what it had.
#[derive(Debug)]
pub(super) struct CsvFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl CsvFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, bytes: 0 }
    }

    /// Opens the file, unless it is open: empty, or cut to the bytes of [`CsvFile::set_state`] if it still
    /// has them.
    pub(super) fn open(&mut self) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        make_folder(&self.path)?;
        let open = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
            let kept = if file.metadata()?.len() < self.bytes { 0 } else { self.bytes };
            file.set_len(kept)?;
            file.seek(SeekFrom::Start(kept))?;
            Ok((file, kept))
        };
        let (file, kept) = open().map_err(|error| cannot_write(&self.path, &error))?;
        (self.file, self.bytes) = (Some(file), kept);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends rows.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        self.open()?;
        if let Some(file) = &mut self.file {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.flush());
            written.map_err(|error| cannot_write(&self.path, &error))?;
            self.bytes += text.len() as u64;
        }
        Ok(())
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::new();
        state.set_number("bytes", self.bytes as f64);
        state
    }

    pub(super) fn set_state(&mut self, state: &State) -> Result<()> {
        (self.file, self.bytes) = (None, state.number("bytes")? as u64);
        Ok(())
    }
}

/// Makes the folders of a file that are missing.
pub(super) fn make_folder(file: &Path) -> Result<()> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))
        }
        None => Ok(()),
    }
}

/// That a file cannot be written.
pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let path = path.display().to_string();
    Error::Io { action: "write", path, error: error.to_string() }
}

/// A number that reads back as the same.
pub(super) fn number(value: f32) -> String {
    format!("{value:?}")
}

/// Texts with commas between, quoted as RFC 4180 has it.
fn line(texts: &[String]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(",")
}

pub(super) fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
