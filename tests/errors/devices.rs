//! Devices and tensors.

use super::{lstm_error, zeros};
use crate::common::{devices, gpu};
use wgpu_lstm::nn::{Dense, Params};
use wgpu_lstm::{Device, Error, GpuOptions, Tape, Tensor, Var};

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn tensors_of_two_devices_do_not_mix() {
    let [cpu, gpu] = devices() else { panic!("two devices") };
    let error =
        lstm_error(cpu, |tape, layer| layer.forward(tape, &zeros(&[2, 5, 3], gpu)).map(|_| ()));
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    let params = Params::new(gpu);
    let dense = Dense::new(1).build(&params, 3).unwrap();
    let error = dense.forward(&Tape::new(&params), &zeros(&[2, 3], cpu)).unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
}

/// Without the feature nobody asked for a GPU: no line at the level of information.
#[cfg(not(feature = "gpu"))]
#[test]
fn the_cpu_is_no_news_without_the_feature() {
    use std::sync::Mutex;
    static LINES: Mutex<Vec<(log::Level, String)>> = Mutex::new(Vec::new());
    struct Listener;
    impl log::Log for Listener {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            LINES.lock().unwrap().push((record.level(), record.args().to_string()));
        }
        fn flush(&self) {}
    }
    log::set_logger(&Listener).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let _ = Device::named("auto").unwrap();
    let lines = LINES.lock().unwrap();
    let found: Vec<_> = lines.iter().filter(|(_, text)| text.contains("feature")).collect();
    assert!(!found.is_empty() && found.iter().all(|(level, _)| *level == log::Level::Debug));
    assert!(!lines.iter().any(|(_, text)| text.contains("asked for")), "{lines:?}");
}

/// Two handles of one adapter, or of the CPU, have one name: the text says why they do not mix.
#[test]
fn a_device_that_is_opened_twice_is_two() {
    let cpu = || Device::cpu_with_threads(2).unwrap();
    let twice = || (gpu(GpuOptions::default()), gpu(GpuOptions::default()));
    for (one, other) in [(cpu(), cpu())].into_iter().chain(cfg!(feature = "gpu").then(twice)) {
        let params = Params::new(&one);
        let dense = Dense::new(1).build(&params, 3).unwrap();
        let run = |x: &Var| dense.forward(&Tape::new(&params), x);
        run(&zeros(&[2, 3], &one)).unwrap();
        let error = run(&zeros(&[2, 3], &other)).unwrap_err();
        let Error::OtherDevice { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, format!("{expected}, opened another time"));
        assert!(error.to_string().contains("opened another time"), "{error}");
        let moved = zeros(&[2, 3], &other).tensor().to_device(&one).unwrap();
        run(&moved.into()).unwrap();
    }
}

#[test]
fn tensors_check_their_count() {
    for device in devices() {
        let error = Tensor::from_slice(&[1.0; 5], [2, 3], device).unwrap_err();
        assert!(matches!(error, Error::Count { expected: 6, found: 5, .. }));
        let error = Tensor::from_slice(&[1.0], [usize::MAX, 2], device).unwrap_err();
        assert!(matches!(error, Error::Count { .. }));
        let t = Tensor::zeros([2, 3], device).unwrap();
        assert!(matches!(t.reshape([7]), Err(Error::Count { expected: 7, found: 6, .. })));
        assert!(matches!(t.to_vec_u32(), Err(Error::DType { .. })));
        assert!(Tensor::zeros([0, 3], device).unwrap().to_vec().unwrap().is_empty());
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_tensor_too_large_is_an_error() {
    let device = gpu(GpuOptions::default().portable());
    let error = Tensor::zeros([1 << 26], &device).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 268_435_456, .. }), "{error}");
    let error = Tensor::zeros([usize::MAX, 2], &device).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. }), "{error}");
    let error = Tensor::zeros([usize::MAX, 2], &devices()[0]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. }), "{error}");
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn an_unknown_device_is_an_error_that_lists_those_that_are_there() {
    let error = Device::named("no such card").unwrap_err();
    let Error::UnknownDevice { name, available } = &error else { panic!("{error}") };
    assert_eq!(name, "no such card");
    assert!(!available.is_empty(), "this test needs a GPU adapter");
    let text = error.to_string();
    assert!(text.contains(&available[0]));
    // A card with two drivers is listed once.
    let sorted: std::collections::BTreeSet<_> = available.iter().collect();
    assert_eq!(sorted.len(), available.len(), "{text}");
    assert!(Device::named("cpu").is_ok_and(|d| !d.is_gpu()));
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_gpu_is_hardware_or_an_error() {
    match Device::named("gpu") {
        Ok(device) => assert!(device.adapter().is_some_and(|a| !a.software), "{device}"),
        Err(error) => assert!(matches!(error, Error::NoAdapter { .. }), "{error}"),
    }
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_gpu_without_the_feature_is_an_error_that_says_so() {
    assert!(Device::adapters().is_empty());
    assert!(Device::named("auto").is_ok_and(|d| !d.is_gpu() && d.adapter().is_none()));
    for name in ["gpu", "software", "radeon"] {
        let error = Device::named(name).unwrap_err();
        assert!(matches!(error, Error::MissingFeature { feature: "gpu", .. }), "{error}");
        assert!(error.to_string().contains("feature `gpu`"), "{error}");
    }
}
