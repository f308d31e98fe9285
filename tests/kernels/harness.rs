//! What the tests of the kernels share: devices, tensors, comparisons.

#[path = "../common/compare.rs"]
mod compare;
#[path = "../common/lacks.rs"]
mod lacking;
#[path = "../common/shared.rs"]
mod shared;

pub(super) use compare::{LEAST, assert_close, assert_equal, assert_same_bits, mismatch};
pub(super) use lacking::lacks;
pub(super) use shared::{Folder, Training, ends, gpu, open, tensor};

use crate as engine;
use crate::device::Backend;
use crate::device::coresident::Forced;
use crate::device::gpu::Gpu;
use crate::nn::{Params, Precision};
use crate::{Device, GpuOptions, Tensor};
use std::sync::{Arc, OnceLock};

/// The GPU in checked and unchecked mode, with its own limits and with WebGPU's, and the CPU;
/// all of them with NaN in new buffers. The software adapter if there is one, so that results
/// do not depend on the machine. Without the feature `gpu` the CPU alone.
pub(super) fn devices() -> &'static [(String, Device)] {
    static DEVICES: OnceLock<Vec<(String, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut devices = vec![("CPU".to_owned(), Device::poisoned_cpu())];
        let modes: &[bool] = if cfg!(feature = "gpu") { &[false, true] } else { &[] };
        for &checked in modes {
            for portable in [false, true] {
                // As on two cores, wherever this runs: a batch of 33 is then wide, one of 9 less.
                let mut options = GpuOptions::default().poison().threads(2);
                if checked {
                    options = options.checked();
                }
                if portable {
                    options = options.portable();
                }
                let name = format!("GPU, checked {checked}, portable {portable}");
                devices.push((name, gpu(options)));
            }
        }
        devices
    })
}

/// The GPU that a device is.
#[track_caller]
pub(super) fn inner(device: &Device) -> &Arc<Gpu> {
    let Backend::Gpu(gpu) = &device.0 else {
        panic!("this test needs a GPU adapter, not {device}")
    };
    gpu
}

/// The same, which from now on does as a test wants.
#[track_caller]
pub(super) fn forced(device: &Device, forced: Forced) -> Arc<Gpu> {
    let gpu = inner(device);
    gpu.force(forced).unwrap();
    gpu.clone()
}

/// Whether tests of what a software adapter chooses end here, on hardware: see [`lacks`].
#[track_caller]
pub(super) fn lacks_software(device: &Device) -> bool {
    lacks("software", inner(device).info.software)
}

/// How often workgroups look for a word that they wait for, where a test asks how many of them run at once.
/// A software adapter gets as much patience as it takes, on a machine that is busy. A card runs a few
/// hundred of the thousand that are asked: all of them wait in vain, and all other tests for them, so
/// there it is as usual, some milliseconds.
pub(super) fn patience(device: &Device) -> Option<u32> {
    inner(device).info.software.then_some(1 << 24)
}

/// Whether tests of 16-bit floats end here: see [`lacks`].
#[track_caller]
pub(super) fn lacks_f16(device: &Device) -> bool {
    lacks("f16", has_f16(device))
}

/// Whether kernels can use 16-bit floats here. Where they cannot, tests of mixed precision are tests that
/// parameters which are to be in it stay in full precision, and say so.
pub(super) fn has_f16(device: &Device) -> bool {
    let able = inner(device).has_f16();
    if !able {
        let params = Params::new(device);
        params.set_precision(Precision::Mixed);
        assert_eq!(params.precision(), Precision::Full, "{device} has no 16-bit floats");
    }
    able
}

/// A device with the mode that it was opened in.
fn described(device: &Device) -> String {
    let Backend::Gpu(gpu) = &device.0 else { return device.to_string() };
    let (options, mut text) = (&gpu.options, device.to_string());
    for (on, mode) in [
        (options.checked, "checked"),
        (options.portable, "portable"),
        (options.poison, "poisoned"),
        (options.profile, "profiled"),
        (options.as_hardware, "as hardware"),
    ] {
        if on {
            text = format!("{text}, {mode}");
        }
    }
    for (number, of) in [(options.threads, "threads"), (options.chunk_words, "words a chunk")] {
        text = number.map(|number| format!("{text}, {number} {of}")).unwrap_or(text);
    }
    format!("{text}, {:?}", gpu.coresident.forced())
}

/// Fails unless a tensor holds these numbers, but for `bound` times the largest of them.
#[track_caller]
pub(super) fn close(what: &str, found: &Tensor, expected: &[f64], bound: f64) {
    close_from(LEAST, what, found, expected, bound);
}

/// The same, or `bound` times `least` where all of them are smaller: for a few numbers that are
/// differences of larger ones, and as exact as those.
#[track_caller]
pub(super) fn close_from(least: f64, what: &str, found: &Tensor, expected: &[f64], bound: f64) {
    if let Some(wrong) = mismatch(&found.to_vec().unwrap(), expected, least, bound) {
        panic!("{what}: {wrong}; on {}", described(&found.device()));
    }
}

/// The same as [`close`] for numbers that were read already.
#[track_caller]
pub(super) fn close_values(what: &str, found: &[f32], expected: &[f64], bound: f64) {
    assert_close(what, found, expected, LEAST, bound);
}

#[test]
fn differences_that_matter_are_seen() {
    let wrong = |found: &[f32], expected: &[f64]| mismatch(found, expected, LEAST, 0.05 + 1e-6);
    assert_eq!(wrong(&[1.0, f32::NAN], &[1.0, f64::NAN]), None);
    assert_eq!(wrong(&[f32::INFINITY, 2.1], &[f64::INFINITY, 2.0]), None);
    assert_eq!(wrong(&[1.0, 2.1], &[1.0, 2.0]), None);
    // Of numbers that are nearly 0 as of those that are not.
    assert_eq!(wrong(&[1e-8], &[0.0]), None);
    for (found, expected) in [
        (&[1.0][..], &[1.0, 2.0][..]),
        (&[1.0, 2.0], &[1.0]),
        (&[f32::NAN], &[1.0]),
        (&[1.0], &[f64::NAN]),
        (&[f32::INFINITY], &[1.0]),
        (&[f32::MAX], &[f64::INFINITY]),
        (&[f32::INFINITY], &[f64::NEG_INFINITY]),
        // An infinity beside it does not make a difference small.
        (&[f32::INFINITY, 1.5], &[f64::INFINITY, 1.0]),
        (&[1.0, 2.2], &[1.0, 2.0]),
        (&[1e-7], &[0.0]),
    ] {
        assert!(wrong(found, expected).is_some(), "{found:?} for {expected:?}");
    }
    let text = wrong(&[0.0, 1.5, 3.0, f32::NAN], &[0.0, 1.0, 4.0, f64::NAN]).unwrap();
    for part in ["2 of 4 values", "value 2: 3.0, expected 4.0", "relative error 2.5e-1", "by 4e0"] {
        assert!(text.contains(part), "{text}");
    }
}
