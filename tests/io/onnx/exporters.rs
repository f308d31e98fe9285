//! Models that PyTorch's exporters wrote, against ONNX Runtime: see `make_torch.py`.

use crate::common;
use crate::onnx::records::{self, Record};
use wgpu_lstm::Device;

pub(crate) fn all() -> Vec<Record> {
    records::read(include_bytes!("torch.bin"))
}

fn check(device: &Device) {
    // 1e-6 for what products of some terms round, times those of a gate and its neighbours.
    records::check(&all(), device, 1e-5);
}

#[test]
fn each_model_gives_the_outputs_of_onnx_runtime() {
    check(&Device::cpu().unwrap());
}

#[test]
fn each_model_does_so_on_a_gpu() {
    for device in common::devices().iter().filter(|device| device.is_gpu()) {
        check(device);
    }
}
