//! Models that PyTorch's exporters wrote, against ONNX Runtime: see `make_torch.py`.

use crate::common;
use crate::onnx::records::{self, Record};
use wgpu_lstm::Device;

pub(crate) fn all() -> Vec<Record> {
    records::read(include_bytes!("torch.bin"))
}

/// Twice, since the second run goes by what the first one learnt of shapes.
fn check(device: &Device) {
    for record in all() {
        let name = &record.name;
        let model = record.load(device).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = record.inputs(device).unwrap();
        for _ in 0..2 {
            let outputs = model.run(&inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
            // 1e-6 for what products of some terms round, times those of a gate and its neighbours.
            assert_eq!(record.compare(&outputs, 1e-5), None, "{name}");
        }
    }
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
