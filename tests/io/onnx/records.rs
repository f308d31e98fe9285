//! The models of `records.py`, with the outputs that they must have.

use std::sync::Arc;
use wgpu_lstm::io::onnx::{Element, Model, Value};
use wgpu_lstm::{Device, Result};

pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) model: Arc<[u8]>,
    inputs: Vec<(String, Numbers)>,
    outputs: Vec<(String, Numbers)>,
}

struct Numbers {
    shape: Vec<usize>,
    values: Kind,
}

enum Kind {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(len);
        self.0 = rest;
        part
    }

    fn u32(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn piece(&mut self) -> &'a [u8] {
        let len = self.u32();
        self.take(len)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.piece().to_vec()).unwrap()
    }

    fn tensors(&mut self) -> Vec<(String, Numbers)> {
        let count = self.take(1)[0];
        (0..count).map(|_| self.tensor()).collect()
    }

    fn tensor(&mut self) -> (String, Numbers) {
        let name = self.text();
        let (kind, rank) = (self.take(1)[0], self.take(1)[0]);
        let shape: Vec<_> = (0..rank).map(|_| self.u32()).collect();
        let count = shape.iter().product::<usize>();
        let values = match kind {
            1 => Kind::Floats(words(self.take(4 * count), f32::from_le_bytes)),
            7 => Kind::Ints(words(self.take(8 * count), i64::from_le_bytes)),
            _ => Kind::Bools(self.take(count).iter().map(|&byte| byte != 0).collect()),
        };
        (name, Numbers { shape, values })
    }
}

fn words<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|word| f(word.try_into().unwrap())).collect()
}

pub(crate) fn read(bytes: &[u8]) -> Vec<Record> {
    let mut bytes = Bytes(bytes);
    let mut all = Vec::new();
    while !bytes.0.is_empty() {
        let (name, model) = (bytes.text(), bytes.piece().into());
        all.push(Record { name, model, inputs: bytes.tensors(), outputs: bytes.tensors() });
    }
    all
}

/// Runs each model on a device, and compares its outputs with those that it must have, as [`Record::compare`] does. Twice,
/// since the second run goes by what the first one learnt of shapes.
pub(crate) fn check(records: &[Record], device: &Device, bound: f32) {
    for record in records {
        let name = &record.name;
        let model = record.load(device).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = record.inputs(device).unwrap();
        for _ in 0..2 {
            let outputs = model.run(&inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(record.compare(&outputs, bound), None, "{name}");
        }
    }
}

impl Record {
    pub(crate) fn load(&self, device: &Device) -> Result<Model> {
        Model::from_bytes(self.model.clone(), device)
    }

    pub(crate) fn inputs(&self, device: &Device) -> Result<Vec<(&str, Value)>> {
        let value = |numbers: &Numbers| match &numbers.values {
            Kind::Floats(values) => Value::f32(values, numbers.shape.clone(), device),
            Kind::Ints(values) => Value::i64(values, numbers.shape.clone()),
            Kind::Bools(values) => Value::bool(values, numbers.shape.clone()),
        };
        self.inputs.iter().map(|(name, numbers)| Ok((name.as_str(), value(numbers)?))).collect()
    }

    /// What is wrong with outputs, if something is. Floats may be off by `bound`, absolute and relative.
    pub(crate) fn compare(&self, found: &[(String, Value)], bound: f32) -> Option<String> {
        if found.len() != self.outputs.len() {
            return Some(format!("{} outputs", found.len()));
        }
        self.outputs.iter().zip(found).find_map(|((name, expected), (other, found))| {
            differs(expected, found, bound).map(|text| format!("{name} ({other}): {text}"))
        })
    }
}

fn differs(expected: &Numbers, found: &Value, bound: f32) -> Option<String> {
    if found.shape() != expected.shape {
        return Some(format!("shape {:?}, expected {:?}", found.shape(), expected.shape));
    }
    match &expected.values {
        Kind::Floats(expected) => {
            let Ok(found) = found.to_f32() else { return Some("no floats".into()) };
            let same = |a: f32, b: f32| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= bound * (1.0 + b.abs())
            };
            let at = found.iter().zip(expected).position(|(&a, &b)| !same(a, b))?;
            Some(format!("[{at}] is {}, expected {}", found[at], expected[at]))
        }
        Kind::Ints(expected) => {
            let Ok(found) = found.to_i64() else { return Some("no integers".into()) };
            (found != *expected).then(|| format!("{found:?}, expected {expected:?}"))
        }
        Kind::Bools(expected) => {
            if found.element() != Element::Bool {
                return Some("no booleans".into());
            }
            let found: Vec<_> = found.to_i64().ok()?.iter().map(|&v| v != 0).collect();
            (found != *expected).then(|| format!("{found:?}, expected {expected:?}"))
        }
    }
}
