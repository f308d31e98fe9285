//! Devices and comparisons for the tests of the public interface.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod compare;
mod lacks;
mod shared;

pub(crate) use compare::assert_close;
pub(crate) use lacks::lacks;
pub(crate) use shared::{Folder, Training, ends, gpu, open, quick, tensor, value};

use safetensors::SafeTensors;
use std::sync::OnceLock;
use wgpu_lstm as engine;
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::{Device, GpuOptions, Tensor};

/// The CPU and, with the feature `gpu`, a GPU, both with NaN in new buffers.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let gpu = cfg!(feature = "gpu").then(|| gpu(GpuOptions::default().poison()));
        [poisoned_cpu()].into_iter().chain(gpu).collect()
    })
}

/// Fails unless the numbers are those that are expected, which are all finite here, but for `bound` times
/// the largest of these; `what` is the case, with its device.
#[track_caller]
pub fn close(what: &str, found: &[f32], expected: &[f32], bound: f64) {
    assert!(expected.iter().all(|v| v.is_finite()), "{what}: expected {expected:?}");
    compare::assert_close(what, found, expected, compare::LEAST, bound);
}

/// Numbers that another program computed, from `tests/vectors`.
pub struct Vectors(Vec<u8>);

impl Vectors {
    pub fn load(name: &str) -> Self {
        let path = format!("{}/tests/vectors/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        Self(std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}")))
    }

    pub fn find(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let words = file.tensor(name).ok()?.data().to_vec();
        let words = words.chunks_exact(4);
        Some(words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    pub fn get(&self, name: &str) -> Vec<f32> {
        self.find(name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub fn usizes(&self, name: &str) -> Vec<usize> {
        self.get(name).iter().map(|&v| v as usize).collect()
    }

    pub fn tensor(&self, name: &str, shape: impl Into<Vec<usize>>, device: &Device) -> Tensor {
        Tensor::from_slice(&self.get(name), shape, device).unwrap()
    }

    /// What the file says of itself.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let (_, header) = SafeTensors::read_metadata(&self.0).unwrap();
        header.metadata().as_ref()?.get(key).cloned()
    }
}
