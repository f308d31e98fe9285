//! Texts from files: a folder for each class, or a text a line.

use super::Targets;
use crate::file::{io, open};
use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Texts with their classes, from a folder for each class: Keras' `text_dataset_from_directory`,
/// scikit-learn's `load_files`.
///
/// ```
/// use wgpu_lstm::data::{Texts, Vocabulary};
/// # let folder = std::env::temp_dir().join(format!("wgpu-lstm-texts-{}", std::process::id()));
/// // reviews/bad/1.txt, reviews/good/1.txt, reviews/good/2.txt
/// # for (file, text) in [("bad/1.txt", "Dull."), ("good/1.txt", "Fine."), ("good/2.txt", "So fine!")] {
/// #     std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
/// #     std::fs::write(folder.join(file), text).unwrap();
/// # }
/// let reviews = Texts::from_folders(&folder)?;
/// assert_eq!(reviews.classes(), ["bad", "good"]);
/// assert_eq!(reviews.texts(), ["Dull.", "Fine.", "So fine!"]);
/// assert_eq!(reviews.labels(), [0, 1, 1]);
///
/// let vocabulary = Vocabulary::words().fit(reviews.texts())?;
/// let (x, y) = (vocabulary.sequences(reviews.texts())?, reviews.targets());
/// # let _ = (x, y);
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    classes: Vec<String>,
    texts: Vec<String>,
    labels: Vec<u32>,
}

impl Texts {
    /// Reads every file of every folder in `path`: a folder is a class, and a file a text. Both come sorted
    /// by their names (`10` before `9`), the classes numbered from 0.
    ///
    /// Left out are files beside the folders, and all whose name begins with a point. (Keras takes only names
    /// that end in `.txt`; here every file is a text.)
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be read; [`Error::File`] for a text that is not UTF-8, with the
    /// byte, for a name that is not, for a folder within a class's, and if there is no folder at all.
    pub fn from_folders(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut all = Self { classes: Vec::new(), texts: Vec::new(), labels: Vec::new() };
        for (name, folder) in entries(path)? {
            if !folder.is_dir() {
                continue;
            }
            let label = all.classes.len() as u32;
            all.classes.push(name);
            for (_, file) in entries(&folder)? {
                if file.is_dir() {
                    return Err(bad(&file, "this", "a file with a text", "a folder"));
                }
                all.texts.push(read(&file)?);
                all.labels.push(label);
            }
        }
        if all.classes.is_empty() {
            return Err(bad(path, "the folder", "one with a folder for each class", "without any"));
        }
        Ok(all)
    }

    /// The names of the classes 0, 1 …
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The texts, those of the first class first.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The class of each text, as a number from 0.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The class of each text, as a model learns it.
    pub fn targets(&self) -> Targets {
        Targets::classes(self.labels.clone())
    }
}

/// The lines of a file, a text each, without the ends of lines (`\n`, `\r\n`). An empty line is an empty
/// text, so that the lines still belong to those of another file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::File`], with the byte and the line, if it is not UTF-8.
pub fn read_lines(path: impl AsRef<Path>) -> Result<Vec<String>> {
    Ok(read(path.as_ref())?.lines().map(str::to_owned).collect())
}

/// What is in a folder, sorted by name, but for what is hidden.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |error| io("read", folder, error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => entries.push((name, entry.path())),
            Err(name) => {
                let found = format!("{name:?}");
                return Err(bad(folder, "the name of an entry", "in UTF-8", found));
            }
        }
    }
    entries.sort();
    Ok(entries)
}

/// The text of a file, without a mark of UTF-8 (BOM) at its beginning.
pub(super) fn read(path: &Path) -> Result<String> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::new();
    let room = usize::try_from(length).ok().and_then(|room| bytes.try_reserve_exact(room).ok());
    room.ok_or(Error::OutOfMemory { what: "a text of a file", bytes: length })?;
    // No more than was there, of a file that grows.
    File::take(file, length).read_to_end(&mut bytes).map_err(|error| io("read", path, error))?;
    utf8(bytes, path)
}

/// The text of some bytes, without a mark of UTF-8 at its beginning; `path` is what an error calls them.
pub(super) fn utf8(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let (at, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let found = format!("0x{:02x}", bytes[at]);
        bad(path, format!("byte {at}, in line {line},"), "text in UTF-8; save the file so", found)
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn bad(
    path: &Path,
    entry: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    Error::File {
        path: path.display().to_string(),
        entry: entry.into(),
        expected: expected.into(),
        found: found.into(),
    }
}
