//! Devices and comparisons for the tests of the public interface.
// Each test binary uses a part of it.
#![allow(dead_code)]

use safetensors::SafeTensors;
use std::sync::OnceLock;
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::{Device, GpuOptions, Tensor};

/// A GPU, the software adapter if there is one, which neither finds nor leaves anything on disk.
/// Without any, the test fails.
pub fn gpu(options: GpuOptions) -> Device {
    let options = options.no_cache();
    Device::gpu(options.clone().software())
        .or_else(|_| Device::gpu(options))
        .unwrap_or_else(|error| panic!("this test needs a GPU adapter: {error}"))
}

/// The CPU and a GPU, both with NaN in new buffers.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<[Device; 2]> = OnceLock::new();
    DEVICES.get_or_init(|| [poisoned_cpu(), gpu(GpuOptions::default().poison())])
}

/// The largest difference over the largest expected value.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "as many values");
    let largest = expected.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(expected).fold(0.0f32, |m, (f, e)| {
        let difference = (f - e).abs();
        if difference.is_nan() { f32::INFINITY } else { m.max(difference) }
    });
    worst / largest
}

#[track_caller]
pub fn close(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    let error = relative_error(found, expected);
    assert!(error <= bound, "{what}: relative error {error:e}, at most {bound:e}");
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
