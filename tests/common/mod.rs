//! Devices and comparisons for the tests of the public interface.
// Each test binary uses a part of it.
#![allow(dead_code)]

use std::sync::OnceLock;
use wgpu_lstm::{Device, GpuOptions};

/// A GPU, the software adapter if there is one. Without any, the test fails.
pub fn gpu(options: GpuOptions) -> Device {
    Device::gpu(options.clone().software())
        .or_else(|_| Device::gpu(options))
        .unwrap_or_else(|error| panic!("this test needs a GPU adapter: {error}"))
}

/// The CPU and a GPU, both with NaN in new buffers.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<[Device; 2]> = OnceLock::new();
    DEVICES.get_or_init(|| [Device::poisoned_cpu(), gpu(GpuOptions::default().poison())])
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
