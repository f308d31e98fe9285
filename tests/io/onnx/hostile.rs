//! Files that are damaged, or made to do harm.

use crate::common::Folder;
use crate::onnx::build::{
    attribute, bytes, graph, int, model, model_of, named, node, tensor, varint,
};
use crate::onnx::exporters;
use wgpu_lstm::io::onnx::{Model, Value};
use wgpu_lstm::{Device, Error, Result};

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
fn an_opset_that_is_not_known_is_refused() -> Result<()> {
    let of = |opset| model_of(opset, &graph(&[node("Relu", &["x"], &["y"])], &[]));
    for opset in [i64::MIN, -1, 0, 29, 99] {
        let text = refused(of(opset));
        assert!(
            text.contains(&format!("the opset of ai.onnx is {opset}, expected 1 to 28")),
            "{text}"
        );
    }
    for opset in [6, 28] {
        load(of(opset))?;
    }
    Ok(())
}

#[test]
fn numbers_in_the_field_of_another_type_are_refused() -> Result<()> {
    let with = |kind, rest: &[u8]| {
        let cast = [node("Cast", &["t"], &["f"]), attribute("to", &[1])].concat();
        model(&graph(&[cast, node("Add", &["x", "f"], &["y"])], &[tensor("t", &[2], kind, rest)]))
    };
    let varints = [1, 2];
    for (kind, field, name) in
        [(1, 5, "int32_data"), (1, 7, "int64_data"), (11, 5, "int32_data"), (7, 11, "uint64_data")]
    {
        let text = refused(with(kind, &bytes(field, &varints)));
        assert!(text.contains(&format!("in {name}")), "{text}");
    }
    let text = refused(with(11, &bytes(4, &[0; 16])));
    assert!(text.contains("tensor \"t\" is in float_data"), "{text}");
    let text = refused(with(1, &[bytes(9, &[0; 4]), bytes(4, &[0; 4])].concat()));
    assert!(text.contains("in float_data and another one"), "{text}");
    for (kind, field) in [(6, 5), (7, 7), (13, 11), (9, 5), (10, 5)] {
        load(with(kind, &bytes(field, &varints)))?;
    }
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
        use std::os::unix::fs::symlink;
        // A cache that keeps files by their hash: both are links to elsewhere, and the names are those of the links.
        symlink(&outside, inside.join("link")).unwrap();
        std::fs::write(folder.path().join("blob"), file("link", "4", "8")).unwrap();
        symlink(folder.path().join("blob"), inside.join("linked.onnx")).unwrap();
        let y = Model::load(inside.join("linked.onnx"), &device)?
            .run(&[("x", Value::f32(&[1.0], [1], &device)?)])?;
        assert_eq!(y[0].1.to_f32()?, [2.0, 3.0]);
        // Not so a folder on the way, nor what is no file.
        symlink(folder.path(), inside.join("away")).unwrap();
        symlink("/dev/zero", inside.join("zero")).unwrap();
        for location in ["away/secret", "zero"] {
            assert!(
                matches!(load(&file(location, "4", "8")), Err(Error::File { .. })),
                "{location}"
            );
        }
    }
    assert!(matches!(load(&file("none", "4", "8")), Err(Error::Io { .. })));
    // Some tensors may be the same bytes, but these are no store of any number of tensors.
    let shared = |count: usize| {
        let rest = [int(14, 1), entry("location", "weights"), entry("length", "8")].concat();
        let names: Vec<_> = (0..count).map(|at| format!("t{at}")).collect();
        let tensors: Vec<_> = names.iter().map(|name| tensor(name, &[2], 1, &rest)).collect();
        let inputs: Vec<_> = names.iter().map(String::as_str).chain(["x"]).collect();
        load(&model(&graph(&[node("Sum", &inputs, &["y"])], &tensors)))
    };
    shared(4)?;
    let error = shared(1000).unwrap_err();
    assert!(error.to_string().contains("read 4 times at most"), "{error}");
    // What is not there whole is told by its bytes, and a pointer by what brings the file.
    std::fs::write(inside.join("empty"), []).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    std::fs::write(inside.join("pointer"), pointer).unwrap();
    for (location, offset, part) in [
        ("weights", "8", "from byte 8 to 16, expected bytes within the file's 12"),
        ("empty", "0", "from byte 0 to 8, expected bytes within the file's 0"),
        ("pointer", "0", "git lfs pull"),
    ] {
        let error = load(&file(location, offset, "8")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
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
