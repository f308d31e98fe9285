//! Models in files: their layers with all options, and their parameters.

use super::Sequential;
use super::keep::kept_of;
use super::prediction::Meaning;
use crate::autograd::Precision;
use crate::file::{self, Reader, State};
use crate::nn::Layers;
use crate::{Device, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The number of the format, and the text of a file that has it. Whatever a version changes that others cannot
/// read raises it; `tests/files/` has a file of each.
const FORMAT: u64 = 1;
const FORMAT_TEXT: &str = "wgpu_lstm.format";

/// The text that has the version of the crate that wrote the file, for whoever looks into it.
const VERSION_TEXT: &str = "wgpu_lstm.version";

/// The text that has a [`Description`].
const MODEL_TEXT: &str = "wgpu_lstm.model";

/// What a file says of a model, but for its parameters' values.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    input_size: usize,
    precision: Precision,
    /// The seed, and the random keys drawn from it: a training that goes on draws others.
    seed: u64,
    draws: u64,
    /// Whether the outputs are logits, which its loss told the model that was saved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    logits: bool,
    layers: Vec<Part>,
}

/// A layer of a model.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    kind: String,
    /// What [`crate::nn::Layer::config`] says.
    config: String,
    /// The names of its parameters, in the order in which its build inserts them.
    parameters: Vec<String>,
    /// Whether none of them is trained, by [`Sequential::freeze`] or by the layer's own `frozen`; not by a group.
    /// Nothing if some are, as built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<bool>,
}

impl Sequential {
    /// Writes the model to a file in the format safetensors: the parameters by PyTorch's names, in its layout,
    /// as 32-bit floats, or as 8-bit integers after [`Sequential::quantize`], with a tensor `.scale` of each row's scale;
    /// and, as a text in the file's header, the layers with all options, the input size and
    /// the precision, and what [`Sequential::keep`] was given. An existing file is replaced when the new one is whole: after an error or a crash it is as
    /// before. Missing folders are made. Waits for the device; native only.
    ///
    /// What [`Sequential::compile`] was given is no part of it, but whether its loss takes the outputs for logits
    /// ([`super::Prediction::classes`]); nor is what a stateful layer remembers, nor are
    /// the groups of [`crate::nn::Params::group`]: give them anew after loading. A layer of your own needs a [`crate::nn::Layer::config`].
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let path = std::env::temp_dir().join(format!("model-{}.safetensors", std::process::id()));
    /// let device = Device::auto()?;
    /// let mut model = Sequential::new(&device).add(Lstm::new(8)).add(Dense::new(2));
    /// model.build(3)?;
    /// model.save(&path)?;
    ///
    /// let loaded = Sequential::load(&path, &device)?;
    /// let x = Sequences::from_array(&[0.5; 4 * 3], [1, 4, 3])?;
    /// assert_eq!(loaded.predict(&x)?.values(), model.predict(&x)?.values());
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before the first `fit` or `build`; [`Error::Io`]; [`Error::Unsupported`] for a layer
    /// without a `config`, for layers that share parameters, and for parameters that belong to no layer, or to a
    /// layer of your own that was built before it was added; [`Error::Option`] as [`crate::nn::Params::save`]; and those of
    /// the device.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write(path.as_ref(), &State::new())
    }

    /// Reads a model that [`Sequential::save`] wrote. On the device that wrote it, it predicts the same bits. It
    /// is not compiled: to train it on, call [`Sequential::compile`], with an optimizer that begins anew. It
    /// remembers no state. Native only.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if the file is damaged, of another format or version of the format, has no
    /// model (weights alone: build the model, and call [`crate::nn::Params::load`]), a layer of a kind that is not of this
    /// crate (see [`Sequential::load_with`]), or other parameters than its layers; [`Error::TooLarge`],
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load_with(path, device, &Layers::new())
    }

    /// As [`Sequential::load`], for a model with layers of your own.
    ///
    /// # Errors
    /// As [`Sequential::load`]; an error of a function that was registered is told in an [`Error::File`].
    pub fn load_with(path: impl AsRef<Path>, device: &Device, layers: &Layers) -> Result<Self> {
        Self::read(&mut Reader::open(path.as_ref())?, device, layers)
    }

    /// Writes the model, and what a training keeps unless that is nothing.
    pub(super) fn write(&self, path: &Path, state: &State) -> Result<()> {
        let mut texts = BTreeMap::from([
            (FORMAT_TEXT.to_owned(), FORMAT.to_string()),
            (VERSION_TEXT.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        texts.extend(self.kept_texts());
        match self.description() {
            Ok(description) => drop(texts.insert(MODEL_TEXT.to_owned(), description)),
            // A training goes on in a model that the program makes: its layers need no `config`.
            Err(error @ Error::Unsupported { .. }) if !state.is_empty() => {
                log::debug!("{} is no file of a model: {error}", path.display());
            }
            Err(error) => return Err(error),
        }
        // A model of layers that learn nothing has none.
        let mut entries = match self.params.names().is_empty() {
            true => Vec::new(),
            false => self.params.entries()?,
        };
        if !state.is_empty() {
            let (text, kept) = state.parts()?;
            texts.extend(text);
            entries.extend(kept);
        }
        file::write(path, &texts, entries)
    }

    /// Reads the model of a file.
    pub(super) fn read(file: &mut Reader, device: &Device, layers: &Layers) -> Result<Self> {
        let Description { input_size, precision, seed, draws, logits, layers: parts } =
            described(file)?;
        let mut model = Self::new(device);
        for (number, part) in parts.iter().enumerate() {
            let entry = || format!("layer {} of the model", number + 1);
            let Some(layer) = layers.make(&part.kind, &part.config) else {
                let expected = "one of this crate, or one that was registered with Layers::register \
                                and given to Sequential::load_with";
                return Err(file.bad(entry(), expected, format!("of the kind {:?}", part.kind)));
            };
            let layer = layer.map_err(|error| {
                let expected = format!("options of the kind {:?}", part.kind);
                file.bad(entry(), expected, format!("unreadable ({error})"))
            })?;
            model.layers.push(layer.into());
        }
        let params = model.params.clone();
        params.set_draws(seed, draws);
        let in_effect = params.set_precision(precision);
        log::debug!("{precision:?} precision was saved, {in_effect:?} is in effect");
        let values = file.values_of_parameters();
        params.blank(values, || model.build(input_size)).map_err(|error| match error {
            Error::OutOfMemory { .. } | Error::DeviceLost { .. } | Error::Gpu { .. } => error,
            error => file.bad("the model", "layers that go together", format!("none ({error})")),
        })?;
        for (range, (number, part)) in model.built.iter().zip(parts.iter().enumerate()) {
            if range.len() != part.parameters.len() {
                let entry = format!("layer {} of the model", number + 1);
                let (expected, found) = (range.len(), part.parameters.len());
                let found = format!("one of {found} parameters");
                return Err(file.bad(entry, format!("one of {expected}"), found));
            }
        }
        let names: Vec<_> = parts.iter().flat_map(|part| part.parameters.clone()).collect();
        if let Some(name) = twice(&names) {
            return Err(file.bad(format!("parameter {name}"), "one of one layer", "one of two"));
        }
        params.rename(names);
        for Part { parameters, frozen, .. } in &parts {
            frozen.iter().for_each(|frozen| params.set_frozen(parameters, *frozen));
        }
        if !params.names().is_empty() {
            params.load_from(file)?;
        }
        (model.kept, model.logits) = (kept_of(file), logits);
        Ok(model)
    }

    fn description(&self) -> Result<String> {
        let input_size = match self.input_size {
            Some(size) if self.built.len() == self.layers.len() => size,
            _ => return Err(Error::NotBuilt { what: "the model", call: "build or fit" }),
        };
        let (seed, draws) = self.params.draws();
        let mut layers = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let parameters = self.names_of_layer(number);
            let count = parameters.iter().map(|name| self.params.len_of(name)).sum::<usize>();
            if count != layer.parameter_count() {
                return Err(Error::Unsupported {
                    what: layer.kind(),
                    with: "Sequential::save",
                    help: "a layer of your own gets its parameters when the model is built, and counts \
                           them in parameter_count; or keep the parameters alone, by Params::save",
                });
            }
            let learned = parameters.iter().filter(|name| !self.params.is_fixed(name));
            let kept: Vec<_> = learned.map(|name| self.params.keeps_name(name)).collect();
            // Where some are and some are not, it is the layers inside that say so.
            let frozen =
                kept.first().copied().filter(|first| kept.iter().all(|kept| kept == first));
            let (kind, config) = (layer.kind().into(), layer.config()?);
            layers.push(Part { kind, config, parameters, frozen });
        }
        let names: Vec<_> = layers.iter().flat_map(|part| part.parameters.clone()).collect();
        let with = match (twice(&names), names.len() == self.params.names().len()) {
            (Some(_), _) => Some("layers that share parameters"),
            (None, false) => Some("parameters that belong to no layer of the model"),
            (None, true) => None,
        };
        if let Some(with) = with {
            let help = "keep the parameters alone, by Params::save";
            return Err(Error::Unsupported { what: "Sequential::save", with, help });
        }
        let (precision, logits) = (self.params.precision(), self.meaning() == Meaning::Logits);
        let description = Description { input_size, precision, seed, draws, logits, layers };
        serde_json::to_string(&description).map_err(Error::custom)
    }
}

/// Freezes the parameters that were frozen when a checkpoint was written, and no others; unless it has no layers.
pub(super) fn restore_frozen(params: &crate::nn::Params, file: &Reader) -> Result<()> {
    if file.text(MODEL_TEXT).is_none() {
        return Ok(());
    }
    for Part { parameters, frozen, .. } in &described(file)?.layers {
        frozen.iter().for_each(|frozen| params.set_frozen(parameters, *frozen));
    }
    Ok(())
}

/// The description of a file's model.
fn described(file: &Reader) -> Result<Description> {
    let entry = format!("the text {FORMAT_TEXT}");
    match file.text(FORMAT_TEXT) {
        None => {
            let expected = "there, as Sequential::save writes it; Params::load reads weights alone";
            return Err(file.bad(entry, expected, "missing"));
        }
        Some(format) if format.parse() != Ok(FORMAT) => {
            let version = env!("CARGO_PKG_VERSION");
            let expected =
                format!("{FORMAT}, the format that version {version} of wgpu-lstm reads");
            return Err(file.bad(entry, expected, format!("{format:?}")));
        }
        Some(_) => {}
    }
    let entry = format!("the text {MODEL_TEXT}");
    let Some(text) = file.text(MODEL_TEXT) else {
        return Err(file.bad(entry, "there, as Sequential::save writes it", "missing"));
    };
    serde_json::from_str(text)
        .map_err(|error| file.bad(entry, "a model", format!("unreadable ({error})")))
}

/// A name that comes twice.
fn twice(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sequences;
    use crate::nn::{Dense, Lstm, Params};

    /// A checkpoint is a model's file with more in it.
    #[test]
    fn a_file_with_a_state_is_a_models_file_too() {
        let device = Device::plain_cpu();
        let mut model = Sequential::new(&device).seed(5).add(Lstm::new(4)).add(Dense::new(2));
        model.build(3).unwrap();
        let mut state = State::new();
        state.set_number("steps", 0.1);
        state.set_values("adam/mean", vec![1.5, -0.0]);
        let path = std::env::temp_dir().join(format!("wgpu-lstm-both-{}", std::process::id()));
        model.write(&path, &state).unwrap();
        let x = Sequences::from_array(&[0.5; 12], [1, 4, 3]).unwrap();
        let bits = model.predict(&x).unwrap();
        let mut file = Reader::open(&path).unwrap();
        let found = Sequential::read(&mut file, &device, &Layers::new()).unwrap();
        assert_eq!(State::read(&mut file).unwrap(), state);
        assert_eq!(found.predict(&x).unwrap().values(), bits.values());
        assert_eq!(found.params.draws(), model.params.draws());
        let plain = Sequential::load(&path, &device).unwrap();
        assert_eq!(plain.predict(&x).unwrap().values(), bits.values());
        let other = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(2));
        let mut other = other.seed(6);
        other.build(3).unwrap();
        other.params().load(&path).unwrap();
        assert_eq!(other.predict(&x).unwrap().values(), bits.values());
        // And without a state there is none to read.
        model.save(&path).unwrap();
        let error = State::read(&mut Reader::open(&path).unwrap()).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_snapshot_brings_all_values_back() {
        let device = Device::plain_cpu();
        let mut model = Sequential::new(&device)
            .add(crate::nn::Embedding::new(9, 4).sparse())
            .add(Lstm::new(4))
            .add(Dense::new(2));
        model.build(1).unwrap();
        let params = model.params();
        let all = || params.names().iter().map(|n| params.get(n).unwrap()).collect::<Vec<_>>();
        let before = all();
        let snapshot = params.snapshot().unwrap();
        for name in params.names() {
            params.set(&name, &vec![0.25; params.get(&name).unwrap().len()]).unwrap();
        }
        assert_ne!(all(), before);
        params.restore(&snapshot).unwrap();
        assert_eq!(all(), before);
        let other = Params::new(&device);
        let _ = Dense::new(2).build(&other, 3).unwrap();
        assert!(matches!(other.restore(&snapshot), Err(Error::NotBuilt { .. })));
    }
}
