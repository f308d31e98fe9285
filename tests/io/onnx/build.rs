//! Files of ONNX, put together by hand.

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a number.
pub(crate) fn int(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

/// A field of bytes.
pub(crate) fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| bytes(1, name.as_bytes()));
    let outputs = outputs.iter().flat_map(|name| bytes(2, name.as_bytes()));
    inputs.chain(outputs).chain(bytes(4, op.as_bytes())).collect()
}

pub(crate) fn named(name: &str) -> Vec<u8> {
    bytes(1, name.as_bytes())
}

/// A graph of these nodes and tensors, from the input x to the output y.
pub(crate) fn graph(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let nodes = nodes.iter().flat_map(|node| bytes(1, node));
    let tensors = tensors.iter().flat_map(|tensor| bytes(5, tensor));
    nodes.chain(tensors).chain(bytes(11, &named("x"))).chain(bytes(12, &named("y"))).collect()
}

pub(crate) fn model(graph: &[u8]) -> Vec<u8> {
    model_of(17, graph)
}

/// A model of this opset.
pub(crate) fn model_of(opset: i64, graph: &[u8]) -> Vec<u8> {
    [bytes(8, &int(2, opset)), bytes(7, graph)].concat()
}

/// A tensor of floats.
pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, dims, 1, &bytes(9, &values))
}

/// A list of 64-bit integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let lie: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, &[values.len() as i64], 7, &bytes(9, &lie))
}

/// An integer or some of them as an attribute of a node.
pub(crate) fn attribute(name: &str, values: &[i64]) -> Vec<u8> {
    match values {
        &[value] => bytes(5, &[named(name), int(3, value), int(20, 2)].concat()),
        all => attribute_list(name, all),
    }
}

/// Integers as an attribute of a node, also if it is one.
pub(crate) fn attribute_list(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| int(8, value)).collect();
    bytes(5, &[named(name), values, int(20, 7)].concat())
}

/// What the file says of an input or output of floats: its sizes, of which those below 0 are open.
pub(crate) fn info(name: &str, sizes: &[i64]) -> Vec<u8> {
    let dim = |&size: &i64| bytes(1, &if size < 0 { vec![] } else { int(1, size) });
    let shape: Vec<u8> = sizes.iter().flat_map(dim).collect();
    let kind = [int(1, 1), bytes(2, &shape)].concat();
    [named(name), bytes(2, &bytes(1, &kind))].concat()
}

/// A tensor of a name, sizes, a type and other fields.
pub(crate) fn tensor(name: &str, dims: &[i64], kind: i64, rest: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&size| int(1, size)).collect();
    [dims, int(2, kind), bytes(8, name.as_bytes()), rest.to_vec()].concat()
}
