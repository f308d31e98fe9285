//! What a program keeps with a model, in its file: scalers, vocabularies, names of classes.

use super::Sequential;
use crate::file::Reader;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What begins the names of the texts of a file that have what was kept.
const KEPT_TEXT: &str = "wgpu_lstm.kept.";

impl Sequential {
    /// Keeps a value with the model under a name: the scaler of its inputs, its vocabulary, the names of its
    /// classes, or anything else that serde turns to JSON and that a program needs to use the model.
    /// [`Sequential::save`] and checkpoints write it into the model's file, as a text of the header, and
    /// [`Sequential::load`] brings it back. A value of that name before is replaced.
    ///
    /// ```
    /// use wgpu_lstm::data::{Sequences, Standardizer};
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let device = Device::auto()?;
    /// let x = Sequences::new(1, [[10.0, 20.0, 30.0]])?;
    /// let scaler = Standardizer::fit(&x)?;
    /// let mut model = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(1));
    /// model.build(1)?;
    /// model.keep("scaler", &scaler)?;
    /// model.keep("classes", &["calm", "storm"])?;
    /// # let path = std::env::temp_dir().join(format!("kept-{}.safetensors", std::process::id()));
    /// model.save(&path)?;
    ///
    /// let loaded = Sequential::load(&path, &device)?;
    /// let scaler: Option<Standardizer> = loaded.kept("scaler")?;
    /// assert_eq!(scaler.unwrap().means(), [20.0]);
    /// assert_eq!(loaded.kept::<Vec<String>>("classes")?.unwrap(), ["calm", "storm"]);
    /// assert_eq!(loaded.kept::<String>("author")?, None);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Custom`] for a value that JSON has no text for, such as a map whose keys are no texts. JSON has no
    /// NaN nor infinite number: they come back as nothing.
    pub fn keep<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        let text = serde_json::to_string(value).map_err(Error::custom)?;
        self.kept.insert(name.into(), text);
        Ok(())
    }

    /// What [`Sequential::keep`] was given under this name; `None` if there is nothing.
    ///
    /// # Errors
    /// [`Error::Custom`] if it is no `T`.
    pub fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|error| {
                let of = std::any::type_name::<T>();
                // The path of a type within its crate says nothing; what it is of does.
                let of = if of.contains('<') { of } else { of.rsplit("::").next().unwrap_or(of) };
                Error::custom(format!("what is kept as {name:?} is no {of}: {error}"))
            })
        };
        self.kept.get(name).map(read).transpose()
    }

    /// The names under which something is kept, in order.
    pub fn kept_names(&self) -> impl Iterator<Item = &str> {
        self.kept.keys().map(String::as_str)
    }

    /// The texts of a file that have what is kept.
    pub(crate) fn kept_texts(&self) -> impl Iterator<Item = (String, String)> {
        self.kept.iter().map(|(name, text)| (format!("{KEPT_TEXT}{name}"), text.clone()))
    }
}

/// What a file's model keeps.
pub(super) fn kept_of(file: &Reader) -> BTreeMap<String, String> {
    let kept =
        |(name, text): (&str, &str)| Some((name.strip_prefix(KEPT_TEXT)?.into(), text.into()));
    file.texts().filter_map(kept).collect()
}
