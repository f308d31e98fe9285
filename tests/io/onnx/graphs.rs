//! Small graphs around operators that exporters' models have, against ONNX Runtime: see `make_graphs.py`.

use crate::common;
use crate::onnx::records;
use wgpu_lstm::Device;

fn check(device: &Device) {
    records::check(&records::read(include_bytes!("graphs.bin")), device, 1e-5);
}

#[test]
fn each_graph_gives_the_outputs_of_onnx_runtime() {
    check(&Device::cpu().unwrap());
}

#[test]
fn each_graph_does_so_on_a_gpu() {
    for device in common::devices().iter().filter(|device| device.is_gpu()) {
        check(device);
    }
}
