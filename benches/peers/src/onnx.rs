//! A case as an ONNX model, for the peers that run these.

use crate::case::Case;
use tract_onnx::pb;

fn info(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value as Size};
    let dim =
        |&n: &usize| Dimension { value: Some(Size::DimValue(n as i64)), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let elem_type = pb::tensor_proto::DataType::Float as i32;
    let tensor = pb::type_proto::Tensor { elem_type, shape: Some(shape) };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    let r#type = Some(pb::TypeProto { value, ..Default::default() });
    pb::ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

fn constant(name: String, shape: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name,
        dims: shape.iter().map(|&n| n as i64).collect(),
        data_type: pb::tensor_proto::DataType::Float as i32,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

/// The layers as an ONNX model, time-major; with `states`, these are inputs and outputs.
pub fn model(case: &Case, states: bool) -> pb::ModelProto {
    let (b, h) = (case.b, case.h);
    let mut graph = pb::GraphProto { name: "lstm".into(), ..Default::default() };
    graph.input.push(info("x", &[case.t, b, case.i]));
    graph.initializer.push(pb::TensorProto {
        name: "axis".into(),
        dims: vec![1],
        data_type: pb::tensor_proto::DataType::Int64 as i32,
        int64_data: vec![1],
        ..Default::default()
    });
    let mut last = "x".to_owned();
    let mut ends = vec![];
    for l in 0..case.layers {
        let [w, r, bias] = case.weights(l);
        // ONNX has the gates in the order i, o, f, g.
        let gates = |values: &[f32]| -> Vec<f32> {
            let size = values.len() / 4;
            [0, 3, 1, 2].iter().flat_map(|g| values[g * size..][..size].to_vec()).collect()
        };
        let bias = [gates(&bias), vec![0.0; 4 * h]].concat();
        graph.initializer.extend([
            constant(format!("w{l}"), &[1, 4 * h, case.input(l)], &gates(&w)),
            constant(format!("r{l}"), &[1, 4 * h, h], &gates(&r)),
            constant(format!("b{l}"), &[1, 8 * h], &bias),
        ]);
        let mut input = vec![last, format!("w{l}"), format!("r{l}"), format!("b{l}")];
        let mut output = vec![format!("all{l}")];
        if states {
            input.extend([String::new(), format!("h{l}"), format!("c{l}")]);
            output.extend([format!("next_h{l}"), format!("next_c{l}")]);
            graph.input.extend([&input[5], &input[6]].map(|name| info(name, &[1, b, h])));
            ends.extend([&output[1], &output[2]].map(|name| info(name, &[1, b, h])));
        }
        last = format!("y{l}");
        let hidden_size = pb::AttributeProto {
            name: "hidden_size".into(),
            r#type: pb::attribute_proto::AttributeType::Int as i32,
            i: h as i64,
            ..Default::default()
        };
        graph.node.extend([
            pb::NodeProto {
                name: format!("lstm{l}"),
                op_type: "LSTM".into(),
                input,
                output,
                attribute: vec![hidden_size],
                ..Default::default()
            },
            pb::NodeProto {
                name: format!("squeeze{l}"),
                op_type: "Squeeze".into(),
                input: vec![format!("all{l}"), "axis".into()],
                output: vec![last.clone()],
                ..Default::default()
            },
        ]);
    }
    graph.output.push(info(&last, &[case.t, b, h]));
    graph.output.extend(ends);
    let version = pb::OperatorSetIdProto { version: 17, ..Default::default() };
    pb::ModelProto {
        ir_version: 9,
        opset_import: vec![version],
        graph: Some(graph),
        ..Default::default()
    }
}

/// `[A,B,size]` to `[B,A,size]`.
pub fn swapped(values: &[f32], [a, b, size]: [usize; 3]) -> Vec<f32> {
    (0..b)
        .flat_map(|j| (0..a).flat_map(move |i| &values[(i * b + j) * size..][..size]).copied())
        .collect()
}
