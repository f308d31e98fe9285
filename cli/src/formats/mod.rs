//! The formats of models: told by what a file holds, read, and written. A file for each.

mod archive;
pub mod keras;
pub mod modules;
pub mod onnx;
mod own;
pub mod pytorch;
pub mod safetensors;

use crate::options::{Chain, file};
use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use wgpu_lstm::io::onnx::Model;
use wgpu_lstm::io::pytorch::StateDict;
use wgpu_lstm::{Device, Sequential};

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Own,
    Pytorch,
    Keras,
    Onnx,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "wgpu-lstm model",
            Self::Pytorch => "PyTorch state dict",
            Self::Keras => "Keras model",
            Self::Onnx => "ONNX graph",
        })
    }
}

impl Format {
    /// Tells the format of a file by its first bytes, and of an archive by the names of its entries.
    pub fn of(path: &Path) -> Result<Self> {
        let path = file(path)?;
        let mut head = Vec::new();
        let named = || path.display().to_string();
        // First, since to open a pipe would wait for a writer.
        if !std::fs::metadata(path).with_context(named)?.is_file() {
            bail!("{}: it is no regular file", path.display());
        }
        File::open(path)
            .with_context(named)?
            .take(512)
            .read_to_end(&mut head)
            .with_context(named)?;
        if head.starts_with(b"PK\x03\x04") {
            return archive::format(path);
        }
        if let Some(format) = Self::of_head(&head) {
            return match format {
                Self::Own => Ok(match safetensors::Header::read(path)?.text(own::MODEL) {
                    Some(_) => Self::Own,
                    None => Self::Pytorch,
                }),
                other => Ok(other),
            };
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            return Ok(Self::Onnx);
        }
        let found = match &head[..] {
            [] => "it is empty".into(),
            head if head.starts_with(b"\x93NUMPY") => "it is an array of numpy, no model".into(),
            head if head.starts_with(b"version https://git-lfs") => {
                "it is a pointer of Git LFS: fetch the file itself (git lfs pull)".into()
            }
            head => format!("it begins with \"{}\"", head[..head.len().min(16)].escape_ascii()),
        };
        Err(unknown(path, &found))
    }

    /// `Own` stands for any safetensors file.
    fn of_head(head: &[u8]) -> Option<Self> {
        match head {
            [b'\x89', b'H', b'D', b'F', ..] => Some(Self::Keras),
            // First, since the length of its header may begin as a pickle does.
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => Some(Self::Own),
            // A pickle, from its second protocol on.
            [0x80, 2..=5, ..] => Some(Self::Pytorch),
            // The version of ONNX' own format, its first field, and the field behind it.
            [8, 1..=30, next, ..] if [0x12, 0x1a, 0x3a, 0x42].contains(next) => Some(Self::Onnx),
            _ => None,
        }
    }
}

/// The error of a file that is none of the formats.
fn unknown(path: &Path, found: &str) -> anyhow::Error {
    anyhow!(
        "{}: no format that is known: {found}; expected a model of wgpu-lstm or a state dict of PyTorch \
         (.safetensors, .pt, .pth), a model of Keras (.keras, .h5) or a graph of ONNX (.onnx)",
        path.display()
    )
}

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A model of wgpu-lstm: .safetensors
    Model,
    /// A state dict for PyTorch's load_state_dict: .safetensors
    Pytorch,
    /// A model of Keras 3 (.keras), or its weights alone (.weights.h5)
    Keras,
    /// A graph of ONNX over whole sequences: .onnx
    Onnx,
    /// A graph of ONNX of one step, with states in and out: .onnx
    OnnxStep,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "a model of wgpu-lstm",
            Self::Pytorch => "a state dict of PyTorch",
            Self::Keras => "a model of Keras",
            Self::Onnx => "a graph of ONNX",
            Self::OnnxStep => "a graph of ONNX of one step",
        })
    }
}

impl Target {
    /// By a file's name.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        match name.unwrap_or_default() {
            name if name.ends_with(".safetensors") => Ok(Self::Model),
            name if name.ends_with(".keras") || name.ends_with(".weights.h5") => Ok(Self::Keras),
            name if name.ends_with(".onnx") => Ok(Self::Onnx),
            _ => bail!(
                "{}: its name does not say the format: .safetensors (a model of wgpu-lstm), .keras, \
                 .weights.h5 or .onnx; or say it by --to, as --to pytorch for a state dict",
                path.display()
            ),
        }
    }
}

/// What a file has.
pub enum Contents {
    /// Layers, which run on the device.
    Layers(Sequential),
    /// Tensors of modules, without what joins them.
    Weights(StateDict),
    /// A graph, which runs on the device.
    Graph(Model),
}

impl Contents {
    pub fn load(path: &Path, format: Format, device: &Device) -> Result<Self> {
        Ok(match format {
            Format::Own => Self::Layers(own::load(path, device)?),
            Format::Pytorch => Self::Weights(pytorch::open(path)?),
            Format::Keras => Self::Layers(keras::load(path, device)?),
            Format::Onnx => Self::Graph(onnx::load(path, device)?),
        })
    }

    /// What can run: of a state dict the modules in a row, if `chain` says which.
    pub fn runs(path: &Path, device: &Device, chain: &Chain) -> Result<Self> {
        let format = Format::of(path)?;
        match Self::load(path, format, device)? {
            Self::Weights(dict) => Ok(Self::Layers(pytorch::chain(&dict, chain, device)?)),
            _ if chain.modules().is_some() => {
                bail!("{}: a {format} has its layers, so --modules says nothing", path.display())
            }
            other => Ok(other),
        }
    }
}

/// Writes a model; `names` are the modules of a state dict.
pub fn save(model: &Sequential, path: &Path, target: Target, names: &[String]) -> Result<()> {
    match target {
        Target::Model => own::save(model, path),
        Target::Pytorch => pytorch::save(model, path, names),
        Target::Keras => keras::save(model, path),
        Target::Onnx => onnx::save(model, path, false),
        Target::OnnxStep => onnx::save(model, path, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_formats() {
        for (head, format) in [
            (b"\x89HDF\r\n\x1a\n".to_vec(), Some(Format::Keras)),
            (b"\x80\x02\x8a\n".to_vec(), Some(Format::Pytorch)),
            (b"\x10\0\0\0\0\0\0\0{\"a\":1}".to_vec(), Some(Format::Own)),
            (b"\x08\x08\x12\x07pytorch".to_vec(), Some(Format::Onnx)),
            (b"PK".to_vec(), None),
            (b"hello".to_vec(), None),
            (vec![], None),
        ] {
            assert_eq!(Format::of_head(&head), format, "{head:?}");
        }
    }
}
