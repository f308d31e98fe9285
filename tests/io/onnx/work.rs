//! Files of some bytes that ask for much work or memory.

use crate::onnx::build::{
    attribute, attribute_list, bytes, floats, graph, ints, model, named, node, tensor,
};
use wgpu_lstm::io::onnx::{Model, Value};
use wgpu_lstm::{Device, Error, Result};

fn load(bytes: Vec<u8>) -> Result<Model> {
    Model::from_bytes(bytes, &Device::cpu()?)
}

/// Which of the nodes are left to be run.
fn left(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Result<String> {
    Ok(load(model(&graph(nodes, tensors)))?.describe())
}

fn filled(size: &str, value: &str) -> Vec<u8> {
    node("ConstantOfShape", &[size], &[value])
}

#[test]
fn constants_that_are_much_work_are_left_for_the_run() -> Result<()> {
    let gru = node("GRU", &["c", "w", "r"], &["", "h"]);
    let weights = [floats("w", &[1, 3, 1], &[0.1; 3]), floats("r", &[1, 3, 1], &[0.1; 3])];
    let tensors = [&weights[..], &[ints("s", &[4_000_000, 1, 1])]].concat();
    let text = left(&[filled("s", "c"), gru, node("Add", &["x", "h"], &["y"])], &tensors)?;
    assert!(text.contains("1 x GRU"), "{text}");

    // Products of which each is of a billion terms.
    let mut nodes = vec![filled("s", "m0")];
    for at in 0..100 {
        let (from, to) = (format!("m{at}"), format!("m{}", at + 1));
        nodes.push(node("MatMul", &[&from, &from], &[&to]));
    }
    nodes.push(node("Add", &["x", "m100"], &["y"]));
    let text = left(&nodes, &[ints("s", &[1000, 1000])])?;
    assert!(text.contains("100 x MatMul"), "{text}");

    // One node of many inputs, each of which is added to all of the sum; and one of many empty parts.
    let mut all = vec!["c"];
    all.resize(60_000, "one");
    let nodes = [filled("s", "c"), node("Sum", &all, &["z"]), node("Add", &["x", "z"], &["y"])];
    let text = left(&nodes, &[ints("s", &[4_000_000]), floats("one", &[1], &[1.0])])?;
    assert!(text.contains("1 x Sum"), "{text}");
    let mut all = vec!["c"];
    all.resize(60_000, "none");
    let join = [node("Concat", &all, &["z"]), attribute("axis", &[1])].concat();
    let nodes = [filled("s", "c"), filled("n", "none"), join, node("Add", &["x", "z"], &["y"])];
    let text = left(&nodes, &[ints("s", &[4_000_000, 1]), ints("n", &[4_000_000, 0])])?;
    assert!(text.contains("1 x Concat"), "{text}");
    Ok(())
}

#[test]
fn constants_of_little_work_are_made_once() -> Result<()> {
    let nodes = [
        filled("s", "m"),
        node("MatMul", &["m", "m"], &["p"]),
        [node("Transpose", &["p"], &["t"]), attribute("perm", &[1, 0])].concat(),
        node("Add", &["x", "t"], &["y"]),
    ];
    let text = left(&nodes, &[ints("s", &[100, 100])])?;
    assert!(text.contains("1 nodes run (3 more are constant)"), "{text}");
    Ok(())
}

#[test]
fn what_no_memory_holds_is_an_error() -> Result<()> {
    let device = Device::cpu()?;
    // A value put together with itself, again and again.
    let mut nodes = Vec::new();
    for at in 0..40 {
        let from = if at == 0 { "x".into() } else { format!("c{at}") };
        let to = format!("c{}", at + 1);
        nodes.push([node("Concat", &[&from, &from], &[&to]), attribute("axis", &[0])].concat());
    }
    nodes.push(node("Relu", &["c40"], &["y"]));
    let doubled = model(&graph(&nodes, &[]));
    let one = |shape: &[usize]| Value::f32(&[1.0], shape, &device);
    let pool = |op, attributes: &[Vec<u8>]| {
        model(&graph(&[[node(op, &["x"], &["y"]), attributes.concat()].concat()], &[]))
    };
    let (wide, far) = ((1 << 30) - 1, 1 << 30);
    let around = [attribute("kernel_shape", &[1, 1]), attribute("pads", &[far, far, far, far])];
    let within = [
        attribute("kernel_shape", &[wide, 1]),
        attribute("pads", &[wide / 2, 0, wide / 2, 0]),
        attribute("strides", &[1, 1]),
    ];
    let conv =
        [node("Conv", &["x", "w"], &["y"]), attribute("pads", &[far, far, far, far])].concat();
    let conv = model(&graph(&[conv], &[floats("w", &[1, 1, 1, 1], &[1.0])]));
    let column = node("Reshape", &["x", "to"], &["c"]);
    let product = [column, node("Gemm", &["c", "x"], &["y"])];
    let product = model(&graph(&product, &[ints("to", &[-1, 1])]));
    let cases = [
        (doubled, Value::f32(&[1.0; 64], [64, 1], &device)?),
        (pool("AveragePool", &around), one(&[1, 1, 1, 1])?),
        (pool("MaxPool", &around), one(&[1, 1, 1, 1])?),
        (pool("AveragePool", &within), one(&[1, 1, 1, 1])?),
        (conv, one(&[1, 1, 1, 1])?),
        (product, Value::f32(&[1.0; 20_000], [1, 20_000], &device)?),
    ];
    for (at, (file, x)) in cases.into_iter().enumerate() {
        let error = load(file)?.run(&[("x", x)]).unwrap_err();
        let Error::At { error, .. } = error else { panic!("{at}: {error}") };
        assert!(matches!(*error, Error::TooLarge { .. }), "{at}: {error}");
    }
    Ok(())
}

/// All windows of these together would be far more numbers than are copied at once.
#[test]
fn many_wide_windows_are_made_in_parts() -> Result<()> {
    let device = Device::cpu()?;
    let (size, wide) = (14_099, 1300);
    let x: Vec<f32> = (0..size).map(|at| ((at * 7919) % 10_007) as f32).collect();
    let pool = |op: &str| -> Result<Vec<f32>> {
        let pool = [node(op, &["x"], &["y"]), attribute_list("kernel_shape", &[wide as i64])];
        let model = load(model(&graph(&[pool.concat()], &[])))?;
        let x = Value::f32(&x, [1, 1, size], &device)?;
        model.run(&[("x", x)])?[0].1.to_f32()
    };
    let most = |window: &[f32]| window.iter().copied().fold(0.0, f32::max);
    assert_eq!(pool("MaxPool")?, x.windows(wide).map(most).collect::<Vec<_>>());
    let mean = |window: &[f32]| window.iter().map(|&x| f64::from(x)).sum::<f64>() / wide as f64;
    let found = pool("AveragePool")?;
    assert_eq!(found.len(), size + 1 - wide);
    let near = |(&found, window)| (f64::from(found) - mean(window)).abs() < 0.5;
    assert!(found.iter().zip(x.windows(wide)).all(near));
    Ok(())
}

/// They are no negative ones.
#[test]
fn integers_of_64_bits_without_a_sign_are_kept_or_refused() -> Result<()> {
    let run = |value: u64| {
        let list = tensor("t", &[1], 13, &bytes(9, &value.to_le_bytes()));
        let file = model(&graph(&[node("Identity", &["t"], &["y"])], &[list]));
        let x = Value::f32(&[1.0], [1], &Device::cpu()?)?;
        load(file)?.run(&[("x", x)])?[0].1.to_i64()
    };
    assert_eq!(run(i64::MAX as u64)?, [i64::MAX]);
    let error = run(u64::MAX).unwrap_err().to_string();
    assert!(error.contains("18446744073709551615"), "{error}");
    Ok(())
}

/// Of no rows there is nothing to be made, whatever else there would be.
#[test]
fn windows_over_nothing_are_nothing() -> Result<()> {
    let device = Device::cpu()?;
    for op in ["AveragePool", "MaxPool"] {
        let pool = [node(op, &["c"], &["p"]), attribute_list("kernel_shape", &[3])].concat();
        let nodes = [
            filled("s", "c"),
            pool,
            node("Shape", &["p"], &["q"]),
            node("Identity", &["q"], &["y"]),
        ];
        let size = 1 << 33;
        let model = load(model(&graph(&nodes, &[ints("s", &[0, 1, size])])))?;
        let y = model.run(&[("x", Value::f32(&[1.0], [1], &device)?)])?;
        assert_eq!(y[0].1.to_i64()?, [0, 1, size - 2], "{op}");
    }
    Ok(())
}

#[test]
fn shapes_of_a_million_axes_are_refused() -> Result<()> {
    let many: Vec<i64> = (0..1_000_000).collect();
    for op in ["Unsqueeze", "Reshape", "Expand"] {
        let list = if op == "Unsqueeze" { many.clone() } else { vec![1; many.len()] };
        let file = model(&graph(&[node(op, &["x", "l"], &["y"])], &[ints("l", &list)]));
        let error =
            load(file)?.run(&[("x", Value::f32(&[1.0], [], &Device::cpu()?)?)]).unwrap_err();
        assert!(error.to_string().contains("at most 64 axes"), "{op}: {error}");
    }
    Ok(())
}

#[test]
fn many_inputs_with_defaults_are_read_at_once() -> Result<()> {
    let mut nodes = vec![node("Relu", &["x"], &["y"])];
    nodes.push(node("Relu", &["i0"], &["unused"]));
    let names: Vec<_> = (0..80_000).map(|at| format!("i{at}")).collect();
    let tensors: Vec<_> = names.iter().map(|name| floats(name, &[1], &[1.0])).collect();
    let inputs = names.iter().flat_map(|name| bytes(11, &named(name)));
    let file = graph(&nodes, &tensors).into_iter().chain(inputs).collect::<Vec<_>>();
    let model = load(model(&file))?;
    assert_eq!(model.inputs().len(), 1);
    Ok(())
}

#[test]
fn a_value_put_together_in_many_steps_is_let_go() {
    let run = || -> Result<()> {
        let device = Device::cpu()?;
        let mut nodes = Vec::new();
        let name = |at: usize| if at == 0 { "x".into() } else { format!("c{at}") };
        for at in 0..40_000 {
            let join = node("Concat", &[&name(at)], &[&name(at + 1)]);
            nodes.push([join, attribute("axis", &[0])].concat());
        }
        nodes.push(node("Relu", &["c40000"], &["y"]));
        let x = Value::f32(&[2.0], [1], &device)?;
        let y = load(model(&graph(&nodes, &[])))?.run(&[("x", x)])?;
        assert_eq!(y[0].1.to_f32()?, [2.0]);
        Ok(())
    };
    // What goes a level deeper with each of them would leave this stack.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
    thread.join().unwrap().unwrap();
}

/// The file of a model of four LSTMs of so many units, nearly all of it weights.
#[cfg(target_os = "linux")]
fn large(path: &std::path::Path, hidden: usize) {
    use std::io::Write;
    let zeros = vec![0; 4 * 4 * hidden * hidden];
    let weights = |name: &str| {
        let size = hidden as i64;
        crate::onnx::build::tensor(name, &[1, 4 * size, size], 1, &bytes(9, &zeros))
    };
    let file = std::fs::File::create(path).unwrap();
    let (mut nodes, mut tensors) = (Vec::new(), vec![ints("one", &[1])]);
    for layer in 0..4 {
        let [w, r, all] = ["w", "r", "all"].map(|name| format!("{name}{layer}"));
        let x = if layer == 0 { "x".into() } else { format!("h{}", layer - 1) };
        let h = if layer == 3 { "y".into() } else { format!("h{layer}") };
        nodes.push(node("LSTM", &[&x, &w, &r], &[&all]));
        nodes.push(node("Squeeze", &[&all, "one"], &[&h]));
        tensors.extend([weights(&w), weights(&r)]);
    }
    (&file).write_all(&model(&graph(&nodes, &tensors))).unwrap();
}

/// Says how much memory a process has taken at most: of the one that the test below starts.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "a process of its own, of the test below"]
fn memory_of_a_load() {
    let path = std::env::var("WGPU_LSTM_LARGE_MODEL").unwrap();
    let model = Model::load(path, &Device::cpu().unwrap()).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("{} peak {}", model.inputs().len(), peak.trim());
}

/// The weights of a layer as the file has them, and in the order of the kernels: one layer after the other, and no third
/// copy while they are read and turned.
#[test]
#[cfg(target_os = "linux")]
fn the_weights_of_a_large_model_are_in_memory_once() {
    let folder = crate::common::Folder::new("onnx_large");
    std::fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("large.onnx");
    let hidden = std::env::var("WGPU_LSTM_LARGE_UNITS").map_or(768, |units| units.parse().unwrap());
    large(&path, hidden);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this)
        .args(["onnx::work::memory_of_a_load", "--exact", "--ignored", "--nocapture"])
        .env("WGPU_LSTM_LARGE_MODEL", &path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let peak = text.split("peak ").nth(1).unwrap_or_else(|| panic!("{text}"));
    let peak = 1024 * peak.split(' ').next().unwrap().parse::<u64>().unwrap();
    println!("{bytes} bytes, at most {peak} in memory");
    // Once, and one layer of them in both orders; the process itself takes some.
    assert!(peak < bytes + bytes / 2 + (32 << 20), "{peak} of {bytes}");
}
