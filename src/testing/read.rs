//! Each reader of files, on bytes: for `fuzz/`, and for the test that replays what is in `tests/io/corpus`.

use crate::data::{NpyArray, Vocabulary};
use crate::{Device, Result, Sequential};
use std::path::Path;
use std::sync::OnceLock;

/// What reads bytes as a file of one kind, and then what the file has.
pub type Reader = fn(&[u8]) -> Result<()>;

/// The readers, by the names of their folders. Features bring more.
pub const READERS: &[(&str, Reader)] = &[
    #[cfg(feature = "csv")]
    ("csv", csv),
    #[cfg(feature = "keras")]
    ("hdf5", keras),
    #[cfg(feature = "keras")]
    ("keras", keras),
    #[cfg(feature = "pytorch")]
    ("legacy_pt", state_dict),
    ("model", model),
    ("npy", npy),
    #[cfg(feature = "npz")]
    ("npz", npz),
    #[cfg(feature = "onnx")]
    ("onnx", onnx),
    #[cfg(feature = "pytorch")]
    ("state_dict", state_dict),
    #[cfg(feature = "tokenizers")]
    ("tokenizer", tokenizer),
    ("vocabulary", vocabulary),
    #[cfg(feature = "pytorch")]
    ("zip_pt", state_dict),
];

/// The device of models: one thread, so that a process that is run millions of times is not slowed by others.
fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let cpu = || Device::cpu_with_threads(1).unwrap_or_else(|_| Device::poisoned_cpu());
    DEVICE.get_or_init(cpu).clone()
}

/// Runs a reader of files on bytes: `TMPDIR` may name a folder in memory.
fn in_file<R>(bytes: &[u8], read: impl FnOnce(&Path) -> Result<R>) -> Result<R> {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let name = format!("wgpu-lstm-bytes-{process}-{thread:?}");
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).map_err(|error| crate::file::io("write", &path, error))?;
    let found = read(&path);
    let _ = std::fs::remove_file(&path);
    found
}

fn model(bytes: &[u8]) -> Result<()> {
    in_file(bytes, |path| Sequential::load(path, &device())).map(drop)
}

fn npy(bytes: &[u8]) -> Result<()> {
    in_file(bytes, |path| {
        let array = NpyArray::open(path)?;
        // What are no classes may be numbers all the same.
        let _ = (array.read_classes(), array.read_i64());
        array.read().map(drop)
    })
}

#[cfg(feature = "npz")]
fn npz(bytes: &[u8]) -> Result<()> {
    in_file(bytes, |path| {
        let file = crate::data::NpzFile::open(path)?.memory_limit(1 << 24);
        file.names().iter().try_for_each(|name| file.array(name)?.read().map(drop))
    })
}

#[cfg(feature = "csv")]
fn csv(bytes: &[u8]) -> Result<()> {
    let table = crate::data::Csv::new().read_from(bytes)?;
    let names: Vec<_> = table.names().to_vec();
    // Columns of texts are no numbers.
    let _ = table.numbers(names.iter().map(String::as_str));
    Ok(())
}

/// Both the archives of Keras 3 and what is HDF5 as a whole; and its weights alone, into a model of one layer.
#[cfg(feature = "keras")]
fn keras(bytes: &[u8]) -> Result<()> {
    static MODEL: OnceLock<Option<Sequential>> = OnceLock::new();
    let model = MODEL.get_or_init(|| {
        let mut model = Sequential::new(&device()).add(crate::nn::Lstm::new(1));
        model.build(1).ok().map(|()| model)
    });
    if let Some(model) = model {
        // Of another model, they are refused.
        let _ = keras_weights(bytes, model);
    }
    keras_model(bytes, &device()).map(drop)
}

#[cfg(feature = "onnx")]
fn onnx(bytes: &[u8]) -> Result<()> {
    crate::io::onnx::Model::from_bytes(bytes, &device()).map(|model| drop(model.describe()))
}

/// All formats of PyTorch, which are told by their bytes.
#[cfg(feature = "pytorch")]
fn state_dict(bytes: &[u8]) -> Result<()> {
    let dict = pytorch(bytes)?;
    drop(dict.modules());
    // A tensor that cannot be had is an error when it is asked for.
    dict.names().for_each(|name| drop(dict.values(name)));
    Ok(())
}

/// The state dict in the bytes of a file.
///
/// # Errors
/// As [`crate::io::pytorch::StateDict::open`].
#[cfg(feature = "pytorch")]
pub fn pytorch(bytes: &[u8]) -> Result<crate::io::pytorch::StateDict> {
    crate::io::pytorch::StateDict::of(crate::io::Source::memory("bytes", bytes))
}

/// The model in the bytes of a file of Keras.
///
/// # Errors
/// As [`crate::io::keras::load`].
#[cfg(feature = "keras")]
pub fn keras_model(bytes: &[u8], device: &Device) -> Result<Sequential> {
    crate::io::keras::read(&crate::io::Source::memory("bytes", bytes), device)
}

/// Reads the weights in the bytes of a file of Keras into a model.
///
/// # Errors
/// As [`crate::io::keras::load_weights`].
#[cfg(feature = "keras")]
pub fn keras_weights(bytes: &[u8], model: &Sequential) -> Result<()> {
    crate::io::keras::read_weights(&crate::io::Source::memory("bytes", bytes), model)
}

fn vocabulary(bytes: &[u8]) -> Result<()> {
    let vocabulary: Vocabulary = serde_json::from_slice(bytes).map_err(crate::Error::custom)?;
    let numbers = vocabulary.encode("The dog isn't here: é, 3.14, \u{4e2d}\u{6587}");
    vocabulary.decode(&numbers).map(drop)
}

#[cfg(feature = "tokenizers")]
fn tokenizer(bytes: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(crate::Error::custom)?;
    let tokenizer = crate::data::Tokenizer::from_json(text)?;
    // A text may have what the tokens lack.
    if let Ok(numbers) = tokenizer.encode("ab ba, x\u{e9}") {
        let _ = tokenizer.decode(&numbers);
    }
    Ok(())
}
