//! Files of unusual contents.

use super::{bad, close, floats, good, has, input, json, own, remove, tool, values};

#[test]
fn models_without_parameters_are_converted() {
    use wgpu_lstm::nn::{Pool, Pooling};
    let device = wgpu_lstm::Device::cpu().unwrap();
    let mut model = wgpu_lstm::Sequential::new(&device).add(Pool::new(Pooling::Mean));
    model.build(2).unwrap();
    let [onnx, own_format, keras, y] = ["p.onnx", "p.safetensors", "p.keras", "py.npy"].map(own);
    wgpu_lstm::io::onnx::Export::new().save(&model, &onnx).unwrap();
    good(&["convert", &onnx, &own_format]);
    good(&["convert", &own_format, &keras]);
    let x = input("px.npy");
    for path in [&own_format, &keras] {
        good(&["run", path, "--input", &x, "--output", &y]);
        close(&values(&y).1, &[2.0 / 7.0, 3.0 / 7.0, 8.0 / 7.0, 9.0 / 7.0], path);
    }
    let error = bad(&["convert", &keras, &y, "--to", "pytorch"], 1);
    has(&error, &["the model has no parameters"]);
    remove(&[&onnx, &own_format, &keras, &x, &y]);
}

#[test]
fn any_entry_of_an_archive_tells_its_format() {
    let (small, other) = ("../tests/io/corpus/keras/small.keras", own("other.bin"));
    let mut from = zip::ZipArchive::new(std::fs::File::open(small).unwrap()).unwrap();
    let mut to = zip::ZipWriter::new(std::fs::File::create(&other).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    to.start_file("READ.me", stored).unwrap();
    for index in (0..from.len()).rev() {
        to.raw_copy_file(from.by_index_raw(index).unwrap()).unwrap();
    }
    to.finish().unwrap();
    has(&good(&["inspect", &other]), &["Keras model", "[B, T, 1]"]);
    let error = bad(&["inspect", "tests/io/corpus/npz/stored.npz"], 1);
    has(&error, &["an archive of numpy's arrays"]);
    std::fs::write(&other, b"PK\x03\x04 and no more").unwrap();
    has(&bad(&["inspect", &other], 1), &["a damaged zip archive"]);
    remove(&[&other]);
}

#[test]
fn names_of_files_do_nothing_to_a_terminal() {
    let tame = |text: &str| {
        let wild = text.chars().find(|&c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert_eq!(wild, None, "{text:?}");
        assert!(!text.contains("\nerror: "), "{text}");
    };
    const GRAPH: &str = "tests/io/onnx/inputs/names.onnx";
    tame(&good(&["inspect", GRAPH]));
    let all = good(&["inspect", GRAPH, "--json"]);
    tame(&all);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["inputs"][0]["name"], "x\u{1b}[31m\nerror: \u{9b}2J");
    let x = floats("tame.npy", &[1.0], &[1]);
    tame(&good(&["run", GRAPH, "--input", &x]));
    tame(&bad(&["run", GRAPH, "--input", &x, "--input", &x], 1));
    tame(&bad(&["convert", GRAPH, &own("tame.keras")], 1));
    // A state dict of one such module.
    let (path, name) = (own("tame.safetensors"), "a\u{1b}[2J\nerror: b");
    let header = serde_json::json!({ format!("{name}.weight"):
        { "dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8] } });
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(&path, [&length[..], header.as_bytes(), &[0; 8]].concat()).unwrap();
    tame(&good(&["inspect", &path]));
    tame(&bad(&["run", &path, "--input", &x], 1));
    let found = tool(&["run", &path, "--input", &x, "--modules", &format!("{name}:linear:relu")]);
    tame(&String::from_utf8(found.stderr).unwrap());
    tame(
        &String::from_utf8(tool(&["bench", &path, "--modules", "all", "--seconds", "0"]).stderr)
            .unwrap(),
    );
    remove(&[&x, &path]);
}

#[test]
fn ways_around_layers_are_told_by_their_nodes() {
    use wgpu_lstm::nn::{Graph, Lstm, Pool, Pooling};
    let graph = Graph::new()
        .layer("last", "input", Lstm::new(3))
        .layer("most", "input", Pool::new(Pooling::Max))
        .concat("both", &["last", "most"]);
    let device = wgpu_lstm::Device::cpu().unwrap();
    let mut model = wgpu_lstm::Sequential::new(&device).add(graph);
    model.build(2).unwrap();
    let path = own("nodes.safetensors");
    model.save(&path).unwrap();
    let text = good(&["inspect", &path]);
    has(&text, &["last = lstm(input) hidden_size 3; most = pool(input) pooling Max", "[B, 5]"]);
    has(&text, &["its layers in turn: lstm, pool"]);
    let all = json(&["inspect", &path, "--json"]);
    assert_eq!(all["layers"][0]["nodes"][2], "both = concat(last, most)");
    remove(&[&path]);
}
