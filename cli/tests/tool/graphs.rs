//! Graphs of ONNX: their inputs by name and in their own types, and the layers in them.

use super::{bad, floats, good, has, json, own, remove, values};

#[test]
fn inputs_of_graphs_keep_their_types() {
    const GRAPH: &str = "tests/io/onnx/inputs/types.onnx";
    let (ids, out) = (own("ids.npy"), own("ids_out.npy"));
    let numbers = [(1 << 24) + 1, (1 << 53) + 1, i64::MIN, i64::MAX];
    wgpu_lstm::data::NpyArray::save_i64(&ids, &numbers, &[2, 2]).unwrap();
    let flags = floats("flags.npy", &[0.0, 1.0], &[1, 2]);
    let x = floats("typed_x.npy", &[0.5, f32::NAN], &[1, 2]);
    let arguments = |pairs: &[(&str, &String)]| {
        let pairs = pairs.iter().map(|(name, path)| format!("--input={name}={path}"));
        pairs.collect::<Vec<_>>()
    };
    let all = arguments(&[("ids", &ids), ("small", &flags), ("flags", &flags), ("x", &x)]);
    let mut run = vec!["run", GRAPH];
    run.extend(all.iter().map(String::as_str));
    let output = format!("ids_out={out}");
    let text = good(&[&run[..], &["--output", &output]].concat());
    has(&text, &["ids_out [2, 2], from -9223372036854775808 to 9223372036854775807"]);
    has(&text, &["flags_out [1, 2], from 0 to 1\n", "x_out [1, 2], from 0.5000", "1 not finite"]);
    let found = wgpu_lstm::data::NpyArray::open(&out).unwrap();
    assert_eq!((found.dtype(), found.read_i64().unwrap()), ("int64", numbers.to_vec()));

    let error = bad(&["run", GRAPH, "--input", &x], 1);
    has(&error, &["does not say what it is for", "NAME=FILE", "ids i64 [b, t]", "flags bool"]);
    has(&bad(&[&run[..], &["--input", &run[2][8..]]].concat(), 1), &["\"ids\" is given twice"]);
    has(&bad(&run[..5], 1), &["\"x\" is missing", "small i32 [b, t]"]);
    has(&bad(&[&run[..], &["--input=y=y.npy"]].concat(), 1), &["nothing is called \"y\""]);
    has(&bad(&[&run[..], &["--output=y=y.npy"]].concat(), 1), &["outputs: ids_out i64 [b, t]"]);
    // Of other kinds what fits is taken, and nothing is rounded.
    let wrong = arguments(&[("ids", &ids), ("small", &ids), ("flags", &flags), ("x", &x)]);
    let wrong: Vec<_> = wrong.iter().map(String::as_str).collect();
    has(&bad(&[&["run", GRAPH], &wrong[..]].concat(), 1), &["\"small\" with 9007199254740993"]);
    let wrong = arguments(&[("ids", &x), ("small", &flags), ("flags", &flags), ("x", &x)]);
    let wrong: Vec<_> = wrong.iter().map(String::as_str).collect();
    has(&bad(&[&["run", GRAPH], &wrong[..]].concat(), 1), &["the input \"ids\"", "value 0 is 0.5"]);
    remove(&[&ids, &out, &flags, &x]);
}

#[test]
fn a_value_in_the_file_gives_way_to_an_input() {
    const GRAPH: &str = "tests/io/onnx/inputs/default.onnx";
    let (x, offset) = (floats("dx.npy", &[1.0, 2.0], &[1, 2]), floats("do.npy", &[5.0, 7.0], &[2]));
    let (sum, difference) = (own("sum.npy"), own("difference.npy"));
    has(&good(&["inspect", GRAPH]), &["inputs with a value in the file: offset f32 [2]"]);
    good(&["run", GRAPH, "--input", &x, "--output", &sum]);
    assert_eq!(values(&sum).1, [2.0, 4.0]);
    let (given, second) = (format!("offset={offset}"), format!("difference={difference}"));
    good(&["run", GRAPH, "--input", &x, "--input", &given, "--output", &sum, "--output", &second]);
    assert_eq!((values(&sum).1, values(&difference).1), (vec![6.0, 9.0], vec![-4.0, -5.0]));
    has(&bad(&["run", GRAPH, "--input", &given], 1), &["\"x\" is missing", "with a value in"]);
    // Outputs that would replace each other, and files and devices without a name.
    let second = format!("difference=./{}", "one.npy");
    let all = ["run", GRAPH, "--input", &x, "--output", "one.npy", "--output", &second];
    has(&bad(&all, 1), &["go to one file"]);
    let all = ["run", GRAPH, "--input", &x, "--output", "difference="];
    has(&bad(&all, 1), &["\"difference=\" has no name of a file"]);
    has(&bad(&["run", GRAPH, "--input", "x="], 1), &["\"x=\" has no name of a file"]);
    has(&bad(&["run", GRAPH, "--input", &x, "--device", ""], 1), &["--device: an empty name"]);
    has(&bad(&["bench", GRAPH, "--seconds", "inf"], 1), &["--seconds is a finite number"]);
    remove(&[&x, &offset, &sum, &difference]);
}

#[test]
fn chains_in_graphs_are_told_as_layers() {
    let (path, y) = (own("chain.onnx"), own("chain.txt"));
    good(&["convert", "tests/io/corpus/keras/small.keras", &path]);
    let text = good(&["inspect", &path, "--threads", "1"]);
    has(&text, &["as a chain of layers", "lstm.weight_ih_l0", "CPU: all rows on one thread"]);
    let all = json(&["inspect", &path, "--json"]);
    assert_eq!((&all["chain"], &all["layers"][0]["kind"]), (&true.into(), &"lstm".into()));
    let text = good(&["inspect", "tests/io/onnx/inputs/types.onnx"]);
    has(&text, &["no chain of them", "one input and one output"]);
    has(&bad(&["convert", "tests/io/onnx/inputs/types.onnx", &y], 1), &["does not say the format"]);
    remove(&[&path]);
}
