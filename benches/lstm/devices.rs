//! The devices that are measured.

use std::sync::OnceLock;
use wgpu_lstm::{DEVICE_VARIABLE, Device, GpuOptions, Result};

/// The CPU, the best hardware GPU and the software adapter, as far as they are there; or the one
/// that `WGPU_LSTM_DEVICE` names.
pub fn devices() -> &'static [(&'static str, Device)] {
    static DEVICES: OnceLock<Vec<(&str, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut devices = vec![];
        for (name, device) in candidates(&GpuOptions::default()) {
            match device {
                Ok(device) => {
                    println!("{name}: {device}");
                    devices.push((name, device));
                }
                Err(error) => println!("{name}: none ({error})"),
            }
        }
        devices
    })
}

/// What `WGPU_LSTM_DEVICE` names.
pub fn named() -> Option<String> {
    let name = std::env::var(DEVICE_VARIABLE).ok()?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// The devices to try; those that are GPUs with such options.
pub fn candidates(options: &GpuOptions) -> Vec<(&'static str, Result<Device>)> {
    let gpu = Device::gpu(options.clone());
    if named().is_none() {
        let software = Device::gpu(options.clone().software());
        return vec![("cpu", Device::named("cpu")), ("gpu", gpu), ("software", software)];
    }
    let name = match &gpu {
        Ok(device) => match device.adapter() {
            Some(adapter) if adapter.software => "software",
            Some(_) => "gpu",
            None => "cpu",
        },
        Err(_) => "the device that WGPU_LSTM_DEVICE names",
    };
    vec![(name, gpu)]
}
