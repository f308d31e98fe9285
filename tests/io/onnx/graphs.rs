//! Small graphs around operators that exporters' models have, against ONNX Runtime: see `make_graphs.py`.

use crate::common;
use crate::onnx::records;
use wgpu_lstm::Device;

/// Twice, since the second run goes by what the first one learnt of shapes.
fn check(device: &Device) {
    for record in records::read(include_bytes!("graphs.bin")) {
        let name = &record.name;
        let model = record.load(device).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = record.inputs(device).unwrap();
        for _ in 0..2 {
            let outputs = model.run(&inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(record.compare(&outputs, 1e-5), None, "{name}");
        }
    }
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
