//! Every kernel against its twin and the f64 oracle, in every mode of the device; and every
//! kernel through the translators of every graphics API. Part of the library's unit tests, since
//! kernels are not public.

mod as_hardware;
mod combinations;
mod dense;
mod exchange_model;
mod gemm_cooperative;
mod layers;
mod lstm;
mod mixed;
mod optimizers;
#[path = "../oracle/mod.rs"]
mod oracle;
mod persistent;
mod poison;
mod poison_answer;
mod recording;
mod rows;
mod specials;
mod sums;
mod translation;
mod uniform;
mod verdicts;
mod wave;
mod ways;

use crate::nn::{Params, Precision};
use crate::{Device, GpuOptions, Tensor};
use std::sync::OnceLock;

/// The GPU in checked and unchecked mode, with its own limits and with WebGPU's, and the CPU;
/// all of them with NaN in new buffers. The software adapter if there is one, so that results
/// do not depend on the machine.
fn devices() -> &'static [(String, Device)] {
    static DEVICES: OnceLock<Vec<(String, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut devices = vec![("CPU".to_owned(), Device::poisoned_cpu())];
        for checked in [false, true] {
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

/// A GPU for a test, which neither finds nor leaves anything on disk: without one, the test fails.
fn gpu(options: GpuOptions) -> Device {
    let options = options.no_cache();
    let device = Device::gpu(options.clone().software())
        .or_else(|_| Device::gpu(options))
        .unwrap_or_else(|error| panic!("this test needs a GPU adapter: {error}"));
    assert!(device.is_gpu(), "WGPU_LSTM_DEVICE must not turn GPU tests into CPU tests");
    device
}

/// Whether kernels can use 16-bit floats here. Where they cannot, tests of mixed precision are tests that
/// parameters which are to be in it stay in full precision, and say so.
fn has_f16(device: &Device) -> bool {
    let crate::device::Backend::Gpu(gpu) = &device.0 else { panic!("a CPU") };
    if !gpu.has_f16() {
        let params = Params::new(device);
        params.set_precision(Precision::Mixed);
        assert_eq!(params.precision(), Precision::Full, "{device} has no 16-bit floats");
    }
    gpu.has_f16()
}

fn tensor(values: &[f32], shape: impl Into<Vec<usize>>, device: &Device) -> Tensor {
    Tensor::from_slice(values, shape, device).unwrap()
}

#[track_caller]
fn close(what: &str, found: &Tensor, expected: &[f64], bound: f64) {
    let error = oracle::relative_error(&found.to_vec().unwrap(), expected);
    assert!(error <= bound, "{what}: relative error {error:e}, at most {bound:e}");
}
