//! Files that are damaged, or made to do harm.

use crate::common::Folder;
use crate::onnx::exporters;
use wgpu_lstm::io::onnx::{Model, Value};
use wgpu_lstm::{Device, Error, Result};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a number.
fn int(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

/// A field of bytes.
fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| bytes(1, name.as_bytes()));
    let outputs = outputs.iter().flat_map(|name| bytes(2, name.as_bytes()));
    inputs.chain(outputs).chain(bytes(4, op.as_bytes())).collect()
}

fn named(name: &str) -> Vec<u8> {
    bytes(1, name.as_bytes())
}

/// A graph of these nodes and tensors, from the input x to the output y.
fn graph(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let nodes = nodes.iter().flat_map(|node| bytes(1, node));
    let tensors = tensors.iter().flat_map(|tensor| bytes(5, tensor));
    nodes.chain(tensors).chain(bytes(11, &named("x"))).chain(bytes(12, &named("y"))).collect()
}

fn model(graph: &[u8]) -> Vec<u8> {
    [bytes(8, &int(2, 17)), bytes(7, graph)].concat()
}

/// A tensor of a name, sizes, a type and other fields.
fn tensor(name: &str, dims: &[i64], kind: i64, rest: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&size| int(1, size)).collect();
    [dims, int(2, kind), bytes(8, name.as_bytes()), rest.to_vec()].concat()
}

fn load(bytes: Vec<u8>) -> Result<Model> {
    Model::from_bytes(bytes, &Device::cpu()?)
}

fn refused(bytes: Vec<u8>) -> String {
    let error = load(bytes).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_file_cut_anywhere_is_an_error() -> Result<()> {
    let device = Device::cpu()?;
    let record =
        exporters::all().into_iter().find(|record| record.name == "tagger_dynamo").unwrap();
    for len in 0..record.model.len() {
        // What is cut between two fields of the model is a model without the rest.
        if let Ok(model) = Model::from_bytes(record.model[..len].to_vec(), &device) {
            assert!(len > 2000, "{len}: {model:?}");
        }
    }
    Ok(())
}

#[test]
fn a_file_with_other_bytes_is_an_error_or_another_model() -> Result<()> {
    let device = Device::cpu()?;
    let mut loaded = 0;
    for name in ["tagger_dynamo", "attention_17"] {
        let record = exporters::all().into_iter().find(|record| record.name == name).unwrap();
        let inputs = record.inputs(&device)?;
        for at in 0..record.model.len() {
            let mut bytes = record.model.to_vec();
            bytes[at] ^= [0x01, 0x80, 0xff][at % 3];
            if let Ok(model) = Model::from_bytes(bytes, &device) {
                // With other names it may have other inputs.
                _ = model.run(&inputs);
                loaded += 1;
            }
        }
    }
    assert!(loaded > 1000, "{loaded}");
    Ok(())
}

#[test]
fn graphs_that_make_no_sense_are_told() {
    let cycle =
        [node("Relu", &["b"], &["a"]), node("Relu", &["a"], &["b"]), node("Relu", &["b"], &["y"])];
    assert!(refused(model(&graph(&cycle, &[]))).contains("cycle"));
    let own = [node("Add", &["x", "y"], &["y"])];
    assert!(refused(model(&graph(&own, &[]))).contains("cycle"));
    let twice = [node("Relu", &["x"], &["y"]), node("Tanh", &["x"], &["y"])];
    assert!(refused(model(&graph(&twice, &[]))).contains("output of two nodes"));
    let nothing = [node("Relu", &["z"], &["y"])];
    assert!(refused(model(&graph(&nothing, &[]))).contains("\"z\", which nothing gives"));
    let unknown = refused(model(&graph(&[node("Einsum", &["x"], &["y"])], &[])));
    assert_eq!(
        unknown,
        "an ONNX model: node \"y\" (Einsum, opset 17) is \"Einsum\" of \"ai.onnx\" in opset 17, expected an operator \
         that this crate has"
    );
    let attribute = [bytes(5, &[named("alfa"), int(3, 1), int(20, 2)].concat())].concat();
    let relu = [node("Relu", &["x"], &["y"]), attribute].concat();
    assert!(
        refused(model(&graph(&[relu], &[]))).contains("without an attribute \"alfa\" in opset 17")
    );
    assert!(refused(vec![]).contains("without one"));
    assert!(refused(b"not a model".to_vec()).contains("an ONNX model"));
}

#[test]
fn a_long_chain_of_nodes_is_no_deep_one() -> Result<()> {
    let name = |at: usize| {
        if at == 0 {
            "x".into()
        } else if at == 20_000 {
            "y".into()
        } else {
            format!("v{at}")
        }
    };
    let nodes: Vec<_> = (0..20_000).map(|at| node("Neg", &[&name(at)], &[&name(at + 1)])).collect();
    let device = Device::cpu()?;
    let x = Value::f32(&[1.5, -2.0], [2], &device)?;
    let y = load(model(&graph(&nodes, &[])))?.run(&[("x", x)])?;
    assert_eq!(y[0].1.to_f32()?, [1.5, -2.0]);
    Ok(())
}

#[test]
fn graphs_deep_within_graphs_are_refused() {
    let mut inner = graph(&[node("Relu", &["x"], &["y"])], &[]);
    for _ in 0..500 {
        let branch = bytes(5, &[named("then_branch"), bytes(6, &inner), int(20, 5)].concat());
        inner = graph(&[[node("If", &["x"], &["y"]), branch].concat()], &[]);
    }
    assert!(refused(model(&inner)).contains("at most 16 deep"));
}

#[test]
fn sizes_beyond_all_memory_are_refused() {
    let with = |tensor| model(&graph(&[node("Add", &["x", "t"], &["y"])], &[tensor]));
    for dims in [&[i64::MAX, 2][..], &[1 << 40, 1 << 40, 1 << 40], &[-1], &[1 << 40], &[3]] {
        for rest in [vec![], bytes(9, &[0; 8]), bytes(4, &[0; 8])] {
            refused(with(tensor("t", dims, 1, &rest)));
        }
        refused(with(tensor("t", dims, 7, &bytes(7, &[1, 2]))));
    }
    refused(with(tensor("t", &[1; 33], 1, &bytes(9, &[0; 4]))));
    refused(with(tensor("t", &[1], 8, &bytes(6, b"text"))));
    refused(with(tensor("t", &[1], 99, &bytes(9, &[0; 4]))));
    // A field that goes past its message, and a number that does not end.
    refused([varint(7 << 3 | 2), varint(u64::MAX)].concat());
    refused(vec![0xff; 40]);
}

#[test]
fn a_constant_that_no_memory_holds_is_left_for_the_run() -> Result<()> {
    let shape: Vec<u8> =
        [1i64 << 20, 1 << 20, 1 << 3].iter().flat_map(|size| size.to_le_bytes()).collect();
    let shape = tensor("s", &[3], 7, &bytes(9, &shape));
    let nodes = [node("ConstantOfShape", &["s"], &["c"]), node("Add", &["x", "c"], &["y"])];
    let model = load(model(&graph(&nodes, &[shape])))?;
    let error = model.run(&[("x", Value::f32(&[1.0], [1], &Device::cpu()?)?)]).unwrap_err();
    let Error::At { place, error } = error else { panic!("{error}") };
    assert_eq!(place, "node \"c\" (ConstantOfShape, opset 17)");
    assert!(matches!(*error, Error::TooLarge { .. }), "{error}");
    Ok(())
}

#[test]
fn weights_beside_a_model_are_read_from_its_folder_alone() -> Result<()> {
    let device = Device::cpu()?;
    let folder = Folder::new("onnx_external");
    let weights: Vec<u8> = [9.0f32, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let (inside, outside) = (folder.path().join("model"), folder.path().join("secret"));
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("weights"), &weights).unwrap();
    std::fs::write(&outside, &weights).unwrap();
    let entry = |key: &str, value: &str| {
        bytes(13, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat())
    };
    let file = |location: &str, offset: &str, length: &str| {
        let rest = [
            int(14, 1),
            entry("location", location),
            entry("offset", offset),
            entry("length", length),
        ];
        model(&graph(&[node("Add", &["x", "t"], &["y"])], &[tensor("t", &[2], 1, &rest.concat())]))
    };
    let load = |bytes: &[u8]| {
        let path = inside.join("model.onnx");
        std::fs::write(&path, bytes).unwrap();
        Model::load(path, &device)
    };
    let good = file("weights", "4", "8");
    let y = load(&good)?.run(&[("x", Value::f32(&[1.0], [1], &device)?)])?;
    assert_eq!(y[0].1.to_f32()?, [2.0, 3.0]);
    // From memory there is no folder.
    assert!(matches!(Model::from_bytes(good, &device), Err(Error::File { .. })));
    let absolute = outside.display().to_string();
    for location in ["../secret", "./../secret", &absolute, "", "."] {
        assert!(matches!(load(&file(location, "4", "8")), Err(Error::File { .. })), "{location}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        assert!(matches!(load(&file("link", "4", "8")), Err(Error::File { .. })));
    }
    assert!(matches!(load(&file("none", "4", "8")), Err(Error::Io { .. })));
    for (offset, length) in
        [("8", "8"), ("18446744073709551615", "8"), ("4", "4"), ("-1", "8"), ("x", "8")]
    {
        assert!(
            matches!(load(&file("weights", offset, length)), Err(Error::File { .. })),
            "{offset}"
        );
    }
    Ok(())
}
