//! Operators against the outputs that ONNX's own tests ask for.

use crate::common;
use crate::onnx::records;
use wgpu_lstm::Device;

/// Some of each operator, and those of older opsets: see `make_nodes.py`.
fn check(device: &Device) {
    // The tests of ONNX themselves ask for 1e-3.
    records::check(&records::read(include_bytes!("nodes.bin")), device, 1e-5);
}

#[test]
fn each_operator_gives_what_onnx_asks_for() {
    check(&Device::cpu().unwrap());
}

#[test]
fn each_operator_does_so_on_a_gpu() {
    for device in common::devices().iter().filter(|device| device.is_gpu()) {
        check(device);
    }
}

/// All that ONNX has, from a file that `make_nodes.py --all` wrote: says what fails.
#[test]
#[ignore = "of 1,000 and more models, which are not checked in"]
fn all_of_onnx() {
    let path = std::env::var("ONNX_NODES").unwrap();
    let device = Device::cpu().unwrap();
    let (mut passed, mut unknown, mut failed) = (0, std::collections::BTreeMap::new(), Vec::new());
    for record in records::read(&std::fs::read(path).unwrap()) {
        let model = match record.load(&device) {
            Ok(model) => model,
            Err(error) => {
                let text = error.to_string();
                if text.contains("expected an operator") {
                    let op =
                        text.split("is \"").nth(1).unwrap_or("?").split('"').next().unwrap_or("?");
                    *unknown.entry(op.to_string()).or_insert(0) += 1;
                } else {
                    failed.push(format!("{}: load: {text}", record.name));
                }
                continue;
            }
        };
        let found = record.inputs(&device).and_then(|inputs| {
            model.run(&inputs)?;
            model.run(&inputs)
        });
        match found.map(|found| record.compare(&found, 1e-5)) {
            Ok(None) => passed += 1,
            Ok(Some(text)) => failed.push(format!("{}: {text}", record.name)),
            Err(error) => failed.push(format!("{}: run: {error}", record.name)),
        }
    }
    println!("{passed} pass, {} fail, operators that are not there: {unknown:?}", failed.len());
    failed.iter().for_each(|text| println!("{text}"));
}
