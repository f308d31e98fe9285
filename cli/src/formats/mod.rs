//! The formats of models: told by what a file holds, read, and written. A file for each.

mod own;
pub mod safetensors;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
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
    /// Tells the format of a file by its first bytes, and of an archive by its first entry.
    pub fn of(path: &Path) -> Result<Self> {
        let mut head = Vec::new();
        let named = || path.display().to_string();
        let file = File::open(path).with_context(named)?;
        if !file.metadata().with_context(named)?.is_file() {
            bail!("{}: it is no regular file", path.display());
        }
        file.take(512).read_to_end(&mut head).with_context(named)?;
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
            head if first_entry(head).is_some_and(|name| name.ends_with(b".npy")) => {
                "it is an archive of numpy's arrays, no model".into()
            }
            head if head.starts_with(b"version https://git-lfs") => {
                "it is a pointer of Git LFS: fetch the file itself (git lfs pull)".into()
            }
            head => format!("it begins with {:?}", head.escape_ascii().to_string().get(..24)),
        };
        bail!(
            "{}: no format that is known: {found}; expected a model of wgpu-lstm or a state dict of \
             PyTorch (.safetensors, .pt, .pth), a model of Keras (.keras, .h5) or a graph of ONNX (.onnx)",
            path.display()
        )
    }

    /// `Own` stands for any safetensors file.
    fn of_head(head: &[u8]) -> Option<Self> {
        if let Some(name) = first_entry(head) {
            return match name {
                b"metadata.json" | b"config.json" | b"model.weights.h5" => Some(Self::Keras),
                name if name.ends_with(b".npy") => None,
                _ => Some(Self::Pytorch),
            };
        }
        match head {
            [b'\x89', b'H', b'D', b'F', ..] => Some(Self::Keras),
            // A pickle, from its second protocol on.
            [0x80, 2..=5, ..] => Some(Self::Pytorch),
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => Some(Self::Own),
            // The version of ONNX' own format, its first field, and the field behind it.
            [8, 1..=30, next, ..] if [0x12, 0x1a, 0x3a, 0x42].contains(next) => Some(Self::Onnx),
            _ => None,
        }
    }
}

/// The name of the first entry of a zip archive.
fn first_entry(head: &[u8]) -> Option<&[u8]> {
    let rest = head.strip_prefix(b"PK\x03\x04")?;
    let length = u16::from_le_bytes([*rest.get(22)?, *rest.get(23)?]);
    rest.get(26..26 + usize::from(length))
}

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A model of wgpu-lstm: .safetensors
    Model,
}

impl Target {
    /// By a file's name.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        match name.unwrap_or_default() {
            name if name.ends_with(".safetensors") => Ok(Self::Model),
            _ => bail!(
                "{}: its name does not say the format: .safetensors (a model of wgpu-lstm), .keras, \
                 .weights.h5 or .onnx; or say it by --to",
                path.display()
            ),
        }
    }
}

/// What a file has.
pub enum Contents {
    Layers(Sequential),
}

impl Contents {
    pub fn load(path: &Path, format: Format, device: &Device) -> Result<Self> {
        match format {
            Format::Own => Ok(Self::Layers(own::load(path, device)?)),
            other => bail!("{other}"),
        }
    }
}

/// Writes a model.
pub fn save(model: &Sequential, path: &Path, target: Target) -> Result<()> {
    match target {
        Target::Model => own::save(model, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_formats() {
        let zip = |name: &str| {
            let mut head = b"PK\x03\x04".to_vec();
            head.resize(26, 0);
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            head.extend(name.bytes());
            head
        };
        for (head, format) in [
            (zip("metadata.json"), Some(Format::Keras)),
            (zip("archive/data.pkl"), Some(Format::Pytorch)),
            (zip("x.npy"), None),
            (b"\x89HDF\r\n\x1a\n".to_vec(), Some(Format::Keras)),
            (b"\x80\x02\x8a\n".to_vec(), Some(Format::Pytorch)),
            (b"\x10\0\0\0\0\0\0\0{\"a\":1}".to_vec(), Some(Format::Own)),
            (b"\x08\x08\x12\x07pytorch".to_vec(), Some(Format::Onnx)),
            (b"PK".to_vec(), None),
            (b"PK\x03\x04".to_vec(), None),
            (b"hello".to_vec(), None),
            (vec![], None),
        ] {
            assert_eq!(Format::of_head(&head), format, "{head:?}");
        }
    }
}
