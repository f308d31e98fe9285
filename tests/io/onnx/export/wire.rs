//! A small reader of ONNX files, for what a file must have whoever reads it.

use std::collections::{BTreeMap, BTreeSet};

/// The value of a field.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("{number} is no text or message"),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(bytes) => panic!("{bytes:?} is no number"),
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                Field::Bytes(bytes.split_off(..len).unwrap())
            }
            5 => Field::Bytes(bytes.split_off(..4).unwrap()),
            wire => panic!("field {} in the encoding {wire}", tag >> 3),
        };
        all.push((tag >> 3, value));
    }
    all
}

fn all<'a>(message: &[(u64, Field<'a>)], number: u64) -> impl Iterator<Item = Field<'a>> {
    message.iter().filter(move |(field, _)| *field == number).map(|(_, value)| *value)
}

fn texts(message: &[(u64, Field<'_>)], number: u64) -> Vec<String> {
    all(message, number).map(Field::text).collect()
}

fn one<'a>(message: &[(u64, Field<'a>)], number: u64) -> Field<'a> {
    let found: Vec<_> = all(message, number).collect();
    assert_eq!(found.len(), 1, "field {number}");
    found[0]
}

/// What a file has.
pub struct Found {
    pub opset: u64,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub nodes: Vec<String>,
    pub weights: BTreeMap<String, Vec<usize>>,
    pub texts: BTreeMap<String, String>,
}

/// Checks that every value is made once and before it is used, that nodes have names of their own, and that each
/// tensor has as many bytes as its shape says.
pub fn check(bytes: &[u8]) -> Found {
    let model = fields(bytes);
    assert!((8..=10).contains(&one(&model, 1).number()));
    let opset = fields(one(&model, 8).bytes());
    let graph = fields(one(&model, 7).bytes());
    let mut known = BTreeSet::from([String::new()]);
    let mut nodes = Vec::new();
    let mut weights = BTreeMap::new();
    for tensor in all(&graph, 5).map(|tensor| fields(tensor.bytes())) {
        let name = one(&tensor, 8).text();
        let shape: Vec<_> = all(&tensor, 1).map(|size| size.number() as usize).collect();
        let size = match one(&tensor, 2).number() {
            1 => 4,
            7 => 8,
            kind => panic!("numbers of the type {kind}"),
        };
        let expected = size * shape.iter().product::<usize>();
        assert_eq!(one(&tensor, 9).bytes().len(), expected, "{name} {shape:?}");
        assert!(known.insert(name.clone()), "{name} comes twice");
        weights.insert(name, shape);
    }
    let names = |field| -> Vec<String> {
        all(&graph, field).map(|info| one(&fields(info.bytes()), 1).text()).collect()
    };
    let (inputs, outputs) = (names(11), names(12));
    walk(&graph, &mut known, &mut nodes);
    let mut unique = nodes.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), nodes.len(), "{nodes:?}");
    let text = |entry: Field<'_>| {
        let entry = fields(entry.bytes());
        (one(&entry, 1).text(), one(&entry, 2).text())
    };
    let texts = all(&model, 14).map(text).collect();
    Found { opset: one(&opset, 2).number(), inputs, outputs, nodes, weights, texts }
}

/// The nodes of a graph and of the graphs within, which see what is known around them.
fn walk(graph: &[(u64, Field<'_>)], known: &mut BTreeSet<String>, nodes: &mut Vec<String>) {
    for info in all(graph, 11) {
        let name = one(&fields(info.bytes()), 1).text();
        assert!(known.insert(name.clone()), "{name} comes twice");
    }
    for node in all(graph, 1).map(|node| fields(node.bytes())) {
        let name = one(&node, 3).text();
        for input in texts(&node, 1) {
            assert!(known.contains(&input), "{name} takes {input}, which is not made yet");
        }
        for attribute in all(&node, 5).map(|attribute| fields(attribute.bytes())) {
            for body in all(&attribute, 6) {
                walk(&fields(body.bytes()), &mut known.clone(), nodes);
            }
        }
        for output in texts(&node, 2) {
            assert!(output.is_empty() || known.insert(output.clone()), "{output} comes twice");
        }
        nodes.push(name);
    }
    for info in all(graph, 12) {
        let name = one(&fields(info.bytes()), 1).text();
        assert!(known.contains(&name), "the output {name} is not made");
    }
}
