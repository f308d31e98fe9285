//! Models of Keras, read and written.
//!
//! | file | what it is | by |
//! |---|---|---|
//! | `.keras` | a whole model of Keras 3 | [`load`], [`load_weights`], [`save`] |
//! | `.weights.h5` | the weights alone | [`load_weights`], [`save`] |
//! | `.h5`, `.hdf5` | a whole model, or the weights alone, of Keras 1.2 to 3 | [`load`], [`load_weights`] |
//!
//! Of models a `Sequential` and a `Functional` with one input and one output are read, and such models as layers of each
//! other, whose layers are of these classes: InputLayer, Embedding, Masking, LSTM, CuDNNLSTM, SimpleRNN, Bidirectional, Dense, TimeDistributed (of what
//! takes each timestep by itself), Activation, ReLU, LeakyReLU, ELU, Softmax, Dropout, SpatialDropout1D,
//! LayerNormalization, BatchNormalization (with the statistics of the file, in training too),
//! GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D, AveragePooling1D, Conv1D, RepeatVector, Flatten,
//! Concatenate, Add, Multiply, and textgenrnn's AttentionWeightedAverage.
//!
//! Each option of a layer that is read has become one here, or is an [`Error::File`] that names layer, class and option.
//! Of those that act in training alone there are, besides the layers of dropout: `trainable=False`; of an LSTM `dropout`
//! and `recurrent_dropout`; of LSTM and Dense the penalties L1, L2 and L1L2 of kernels, biases and outputs, and MaxNorm
//! of kernels. Such options of other layers, and other constraints, are errors too, since the model would train
//! otherwise. Passed over are how first values are drawn, for there are values; the seeds of dropout; the momentum of a
//! BatchNormalization; and how Keras computes: `implementation`, `unroll`, `use_cudnn`, and types of numbers.
//!
//! A class, a function or a penalty of a program's own is an error even if it is called as one of Keras, wherever the
//! file tells: registered, or in a module of another package. It does not tell of a function that was never registered
//! (of `def tanh(x)` Keras writes `"tanh"`, and itself reads its own), nor, in `.h5` files, of such a class.
//!
//! Written are the layers that have these for counterparts, with the options that Keras has, too; what it lacks is an
//! [`Error::Unsupported`].
//!
//! The compiled loss and optimizer are not read: [`Sequential::compile`] says them anew.

mod activations;
mod archive;
mod chart;
mod classes;
mod config;
mod describe;
mod export;
mod flow;
mod h5;
mod import;
mod masks;
mod names;
mod node;
mod options;
#[cfg(test)]
mod tests;
mod weights;

use crate::io::Source;
use crate::{Device, Error, Result, Sequential};
use activations::Version;
use h5::Group;
use std::path::Path;
use weights::{Arrays, by_class, by_name, in_order, layers_of, leaves, legacy_of, of_model, plan};

/// Reads a whole model: a `.keras` file, or an `.h5` or `.hdf5` file that has the model beside its weights.
///
/// The model can be trained on: see [`Sequential::compile`]. A part of a functional model that branches is one
/// layer here, a [`crate::nn::Graph`]. A model of rows `[B,F]` takes them as sequences of one frame, `[B,1,F]`, and
/// begins with a [`crate::nn::Flatten`] of that frame; any other number of frames is an error. [`save`] makes a model of
/// rows of it again. In frames that a mask leaves out, outputs may be others than Keras': behind a Multiply it has 0
/// there in some of its versions.
///
/// ```
/// use wgpu_lstm::{Device, io::keras};
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/keras/files/mask_zero.keras");
/// // Embedding(9, 3, mask_zero=True), LSTM(3) …
/// let model = keras::load(path, &Device::auto()?)?;
/// assert_eq!(model.params().shape("embedding.weight")?, [9, 3]);
/// assert_eq!(model.params().shape("dense.weight")?, [2, 4]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if the file is damaged, has weights alone, or a layer or an option that cannot be
/// had here; [`Error::OutOfMemory`] and [`Error::DeviceLost`].
pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Sequential> {
    read(&Source::open(path.as_ref())?, device)
}

pub(crate) fn read(source: &Source, device: &Device) -> Result<Sequential> {
    if archive::is_archive(source) {
        let archive = archive::open(source)?;
        let architecture = config::read(source, &archive.config)?;
        let arrays = || match layers_of(&archive.weights)? {
            Some(layers) => by_class(&layers, &architecture),
            None => Ok(Vec::new()),
        };
        let version = version(archive.metadata.as_deref());
        return import::model(source, &architecture, version, &archive.weights, arrays, device);
    }
    let file = open_h5(source)?;
    let Some(text) = file.text("model_config")? else {
        let expected =
            "the attribute model_config (weights alone are read by load_weights, into a model)";
        return Err(source.bad("the file", expected, "without"));
    };
    let architecture = config::read(source, &text)?;
    let version = Version::of(file.text("keras_version")?.as_deref());
    let arrays = || match legacy_of(&file)? {
        Some(layers) => by_name(&layers, &architecture),
        None => Err(file.bad("layer_names", "there", "missing")),
    };
    import::model(source, &architecture, version, &file, arrays, device)
}

/// Reads weights into a model that is built: of a `.weights.h5` file, of an `.h5` or `.hdf5` file that
/// `save_weights` or `save` of Keras wrote, or of a `.keras` file.
///
/// Layers with weights are taken in the model's order; in files of Keras 3, which do not tell the order of layers of
/// different classes, class by class. An [`crate::nn::Lstm`] of several layers takes those of as many. Weights
/// of a `CuDNNLSTM`, which lie in another way, are known by their shape. After an error no weight is changed, unless
/// the file itself could no longer be read.
///
/// ```
/// use wgpu_lstm::prelude::*;
/// use wgpu_lstm::{io::keras, nn::Rnn};
/// # fn main() -> wgpu_lstm::Result<()> {
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/keras/files/weights.weights.h5");
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(3).return_sequences())
///     .add(Lstm::new(2).return_sequences())
///     .add(Rnn::new(2).bidirectional(Merge::Concat))
///     .add(Dense::new(3))
///     .add(LayerNorm::new().epsilon(1e-3))
///     .add(Dense::new(1));
/// model.build(2)?;
/// let before = model.params().get("lstm_1.weight_hh_l0")?;
/// keras::load_weights(path, &model)?;
/// assert_ne!(model.params().get("lstm_1.weight_hh_l0")?, before);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::NotBuilt`]; [`Error::Io`]; [`Error::File`] if the file is damaged or has other layers or shapes;
/// [`Error::Unsupported`] for a layer that Keras lacks; [`Error::OutOfMemory`] and [`Error::DeviceLost`].
pub fn load_weights(path: impl AsRef<Path>, model: &Sequential) -> Result<()> {
    read_weights(&Source::open(path.as_ref())?, model)
}

pub(crate) fn read_weights(source: &Source, model: &Sequential) -> Result<()> {
    let leaves = leaves(model)?;
    let file = match archive::is_archive(source) {
        true => archive::open(source)?.weights,
        false => open_h5(source)?,
    };
    let arrays: Vec<Arrays> = match layers_of(&file)? {
        Some(layers) => of_model(&layers, &leaves)?,
        None => match legacy_of(&file)? {
            Some(layers) => in_order(&layers)?,
            None => return Err(file.bad("the layers", "as Keras writes them", "missing")),
        },
    };
    let planned = plan(model.params(), &file, &leaves, arrays)?;
    planned.into_iter().try_for_each(|planned| planned.set(model.params()))
}

/// Writes a model as Keras 3 reads it: as a whole if the path ends with `.keras`, its weights alone if it ends with
/// `.weights.h5`. An existing file is replaced when the new one is whole. Waits for the device.
///
/// Keras computes the same outputs, to the rounding of sums. It takes a mask for whole batches where this crate takes
/// lengths: pad with what an `Embedding::mask_zero` or a `Masking` leaves out. What was given to
/// [`Sequential::compile`] is not written; first values of parameters are not, either. A model that begins with a
/// [`crate::nn::Flatten`] of one timestep takes rows `[B,F]` in Keras, others sequences `[B,T,F]` or tokens `[B,T]`.
///
/// ```
/// use wgpu_lstm::prelude::*;
/// use wgpu_lstm::io::keras;
/// # fn main() -> wgpu_lstm::Result<()> {
/// let device = Device::auto()?;
/// let mut model = Sequential::new(&device).add(Lstm::new(8)).add(Dense::new(2));
/// model.build(3)?;
/// let path = std::env::temp_dir().join(format!("model-{}.keras", std::process::id()));
/// keras::save(&model, &path)?; // keras.saving.load_model(path)
///
/// let loaded = keras::load(&path, &device)?;
/// let x = Sequences::from_array(&[0.5; 4 * 3], [1, 4, 3])?;
/// assert_eq!(loaded.predict(&x)?.values(), model.predict(&x)?.values());
/// # std::fs::remove_file(path).unwrap();
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Option`] for a path that ends with neither; [`Error::NotBuilt`]; [`Error::Unsupported`] for a layer or an
/// option that Keras lacks; [`Error::Io`], [`Error::DeviceLost`].
pub fn save(model: &Sequential, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if name.ends_with(".keras") {
        return export::whole(model, path);
    }
    if name.ends_with(".weights.h5") {
        return export::weights_alone(model, path);
    }
    let (found, expected) =
        (format!("{:?}", path.display()), "`.keras` or `.weights.h5` at its end");
    Err(Error::Option { option: "io::keras::save path", found, expected: expected.into() })
}

fn open_h5(source: &Source) -> Result<Group> {
    match h5::is_h5(source) {
        true => h5::open(source, 0..source.len()),
        false => Err(source.bad("the file", "a `.keras` archive, or HDF5", "neither")),
    }
}

/// The version of Keras, as the text beside a model has it.
fn version(metadata: Option<&str>) -> Version {
    let metadata = metadata.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    Version::of(metadata.as_ref().and_then(|all| all.get("keras_version")?.as_str()))
}
