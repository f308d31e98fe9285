//! 8-bit integers: quantised, taken back, multiplied.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Data, Element, Ints, Value};
use super::recurrent::Lstm;
use crate::ops::nd::host::Array;
use crate::ops::nd::{self, Binary};
use crate::ops::quantized::dynamic_lstm::{self, DynamicLstm};
use crate::ops::quantized::onnx::{self, Bytes, IntegerMatrix};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "QuantizeLinear" => quantize(node)?,
        "DequantizeLinear" => dequantize(node)?,
        "DynamicQuantizeLinear" => Arc::new(|args| {
            let x = args.floats(0)?;
            let (bytes, scale, zero) = onnx::dynamic_quantize_linear(&x.to_vec()?)?;
            Ok(vec![
                whole(Element::U8, x.shape().to_vec(), bytes)?,
                Value::Floats(Tensor::from_slice(&[scale], [], args.device)?),
                whole(Element::U8, vec![], vec![zero])?,
            ])
        }),
        "MatMulInteger" => integer_product(node)?,
        "QLinearMatMul" => Arc::new(|args| quantized_product(args).map(|y| vec![y])),
        _ => return Ok(None),
    }))
}

/// Those of ONNX Runtime.
pub(super) fn build_microsoft(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "DynamicQuantizeLSTM" => quantized_lstm(node)?,
        "QuantizeLinear" => quantize(node)?,
        "DequantizeLinear" => dequantize(node)?,
        _ => return Ok(None),
    }))
}

fn whole(kind: Element, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Value> {
    Ok(Value::Ints(Ints { kind, data: Data::Bytes(Arc::new(Array::new(shape, bytes)?)) }))
}

/// An input of 8 bits.
fn bytes<'a>(args: &Args<'a>, at: usize) -> Result<Bytes<'a>> {
    let ints = args.ints(at)?;
    match &ints.data {
        Data::Bytes(array) if ints.kind != Element::Bool => {
            Ok(Bytes { bytes: &array.data, signed: ints.kind == Element::I8 })
        }
        _ => Err(wrong(at, "integers of 8 bits", ints.kind)),
    }
}

/// Zero points; none if they are left out.
fn zeros(args: &Args<'_>, at: usize) -> Result<Vec<i32>> {
    let Some(ints) = args.opt_ints(at)? else { return Ok(vec![]) };
    Ok(ints.values().iter().map(|&v| v as i32).collect())
}

/// The axis of several scales.
fn along(axis: i64, shape: &[usize], scales: usize) -> Result<usize> {
    match scales {
        1 => Ok(0),
        _ => super::axis(axis, shape.len()),
    }
}

fn quantize(node: &Node<'_>) -> Result<Run> {
    let axis = node.int("axis", 1)?;
    node.ignore(&["saturate"]);
    if node.int("block_size", 0)? != 0 {
        return Err(node.bad("a scale of all or of an axis", "those of blocks"));
    }
    let kind = match node.int("output_dtype", 0)? {
        0 => None,
        _ => Some(node.element("output_dtype", 2)?),
    };
    Ok(Arc::new(move |args| {
        let (x, scale) = (args.floats(0)?, args.floats(1)?.to_vec()?);
        let kind = match (args.opt_ints(2)?, kind) {
            (Some(zero), _) => zero.kind,
            (None, kind) => kind.unwrap_or(Element::U8),
        };
        if !matches!(kind, Element::U8 | Element::I8) {
            return Err(wrong(2, "integers of 8 bits", kind));
        }
        let place = (x.shape(), along(axis, x.shape(), scale.len())?);
        let signed = kind == Element::I8;
        let bytes = onnx::quantize_linear(&x.to_vec()?, place, &scale, &zeros(args, 2)?, signed)?;
        Ok(vec![whole(kind, x.shape().to_vec(), bytes)?])
    }))
}

fn dequantize(node: &Node<'_>) -> Result<Run> {
    let axis = node.int("axis", 1)?;
    node.ignore(&["output_dtype"]);
    if node.int("block_size", 0)? != 0 {
        return Err(node.bad("a scale of all or of an axis", "those of blocks"));
    }
    Ok(Arc::new(move |args| {
        let (x, scale) = (args.ints(0)?, args.floats(1)?.to_vec()?);
        let place = (x.shape(), along(axis, x.shape(), scale.len())?);
        let zeros = zeros(args, 2)?;
        let floats = match &x.data {
            Data::Bytes(_) => {
                let all = bytes(args, 0)?;
                let all: Vec<_> = all.integers().collect();
                onnx::dequantize_linear(all.into_iter(), place, &scale, &zeros)?
            }
            Data::Wide(array) => {
                let all: Vec<_> = array.data.iter().map(|&v| v as i32).collect();
                onnx::dequantize_linear(all.into_iter(), place, &scale, &zeros)?
            }
        };
        Ok(vec![Value::Floats(Tensor::from_slice(&floats, x.shape().to_vec(), args.device)?)])
    }))
}

/// The sizes of a product: those of a's rows, and the number of terms and columns.
fn product_shape(args: &Args<'_>, a: usize, b: usize) -> Result<(Vec<usize>, [usize; 2])> {
    let (a_shape, b_shape) = (args.ints(a)?.shape(), args.ints(b)?.shape());
    let (&[terms, columns], Some((&last, rows))) = (b_shape, a_shape.split_last()) else {
        return Err(wrong(b, "a matrix", format!("{b_shape:?}")));
    };
    if last != terms || terms == 0 {
        return Err(wrong(a, format!("[.., {terms}] of some terms"), format!("{a_shape:?}")));
    }
    let shape = [rows, &[columns]].concat();
    args.room(&shape)?;
    Ok((shape, [terms, columns]))
}

fn integer_product(node: &Node<'_>) -> Result<Run> {
    let constant = |at: usize| match node.constant(at) {
        Some(Value::Ints(ints)) => Some(ints),
        _ => None,
    };
    // The right side is packed once, if it does not change.
    let known = match (constant(1), constant(3)) {
        (Some(b), zero) if zero.is_some() || !node.has_input(3) => match (&b.data, b.shape()) {
            (Data::Bytes(array), &[terms, columns]) if b.kind != Element::Bool => {
                let zero: Vec<_> = zero
                    .map(|z| z.values().iter().map(|&v| v as i32).collect())
                    .unwrap_or_default();
                let b = Bytes { bytes: &array.data, signed: b.kind == Element::I8 };
                Some(
                    IntegerMatrix::new(b, [terms, columns], &zero)
                        .map_err(|error| error.at(node.label))?,
                )
            }
            _ => None,
        },
        _ => None,
    };
    Ok(Arc::new(move |args| {
        let (shape, sizes) = product_shape(args, 0, 1)?;
        let own;
        let matrix = match &known {
            Some(known) => known,
            None => {
                own = IntegerMatrix::new(bytes(args, 1)?, sizes, &zeros(args, 3)?)?;
                &own
            }
        };
        let sums = matrix.product(bytes(args, 0)?, &zeros(args, 2)?)?;
        let sums = sums.into_iter().map(i64::from).collect();
        Ok(vec![Value::Ints(Ints::new(Element::I32, shape, sums)?)])
    }))
}

fn quantized_product(args: &Args<'_>) -> Result<Value> {
    let (shape, sizes) = product_shape(args, 0, 3)?;
    let scale = |at: usize| -> Result<Vec<f32>> { args.floats(at)?.to_vec() };
    let (&[a], b, &[y]) = (&*scale(1)?, scale(4)?, &*scale(6)?) else {
        return Err(refused("scales", "one of input 0 and of the output", "others"));
    };
    let matrix = IntegerMatrix::new(bytes(args, 3)?, sizes, &zeros(args, 5)?)?;
    let sums = matrix.product(bytes(args, 0)?, &zeros(args, 2)?)?;
    let factors: Vec<_> = b.iter().map(|b| a * b / y).collect();
    let kind = args.ints(7)?.kind;
    let zero = zeros(args, 7)?.first().copied().unwrap_or_default();
    let bytes = onnx::requantize(&sums, sizes[1], &factors, zero, kind == Element::I8)?;
    whole(kind, shape, bytes)
}

/// By 8-bit products. Where options come that those lack, the weights are taken back to floats, and nothing is lost
/// but the error that activations of 8 bits bring.
fn quantized_lstm(node: &Node<'_>) -> Result<Run> {
    let lstm = Lstm::of(node)?;
    let floats = |at: usize| match node.constant(at) {
        Some(Value::Floats(part)) => Ok(Some(part)),
        None if !node.has_input(at) => Ok(None),
        _ => Err(node.bad(format!("a constant as input {at}"), "one that is computed")),
    };
    let (bias, peepholes) = (floats(3)?, floats(7)?);
    let (w, r) = (Side::of(node, 1, 8)?, Side::of(node, 2, 10)?);
    *node.taken.borrow_mut() = vec![1, 2, 3, 7, 8, 9, 10, 11];
    if let (Some(reverse), None, &[_, inputs, _], &[_, hidden, _]) =
        (lstm.plain(), peepholes, w.q.shape(), r.q.shape())
    {
        let bias = bias.map(Tensor::to_vec).transpose()?;
        let sizes = [inputs, hidden];
        let packed =
            DynamicLstm::new(sizes, w.packed(node)?, r.packed(node)?, bias.as_deref(), reverse);
        let packed = packed.map_err(|error| error.at(node.label))?;
        let wants_y = node.has_output(0);
        return Ok(Arc::new(move |args| {
            let lengths = args
                .opt_ints(4)?
                .map(|lengths| super::lengths(4, &lengths.values()))
                .transpose()?;
            let batch = args.floats(0)?.shape().get(1).copied();
            if lengths.as_ref().is_some_and(|lengths| Some(lengths.len()) != batch) {
                return Err(wrong(4, "a length for each row", format!("{lengths:?}")));
            }
            let states = [args.opt_floats(5)?, args.opt_floats(6)?];
            let outputs = packed.run(args.floats(0)?, lengths.as_deref(), states, wants_y)?;
            Ok(vec![Value::Floats(outputs.y), Value::Floats(outputs.h), Value::Floats(outputs.c)])
        }));
    }
    let weights = lstm.weights(&w.floats(node)?, &r.floats(node)?, bias, peepholes);
    let weights = weights.map_err(|error| error.at(node.label))?;
    Ok(Arc::new(move |args| lstm.run(args, &weights)))
}

/// W or R of 8 bits, with scales and zero points.
struct Side<'a> {
    q: &'a Ints,
    scale: Vec<f32>,
    zero: &'a Ints,
}

impl<'a> Side<'a> {
    fn of(node: &Node<'a>, weights: usize, scale: usize) -> Result<Self> {
        let parts = (node.constant(weights), node.constant(scale), node.constant(scale + 1));
        let (Some(Value::Ints(q)), Some(Value::Floats(scale)), Some(Value::Ints(zero))) = parts
        else {
            return Err(node.bad("constant weights of 8 bits, scales and zero points", "others"));
        };
        let side = Self { q, scale: scale.to_vec()?, zero };
        let &[directions, _, columns] = q.shape() else {
            return Err(node.bad("weights of 3 axes", format!("{:?}", q.shape())));
        };
        let counts = [directions, directions.saturating_mul(columns)];
        if !counts.contains(&side.scale.len()) || zero.len() != side.scale.len() || q.is_empty() {
            return Err(node.bad(
                "a scale and zero point of each direction or column",
                format!("{:?}", scale.shape()),
            ));
        }
        Ok(side)
    }

    fn packed(&self, node: &Node<'_>) -> Result<dynamic_lstm::Side<'_>> {
        let bytes = |ints: &'a Ints| match &ints.data {
            Data::Bytes(array) if ints.kind != Element::Bool => {
                Ok(Bytes { bytes: &array.data, signed: ints.kind == Element::I8 })
            }
            _ => Err(node.bad("integers of 8 bits", ints.kind.to_string())),
        };
        let (values, zero) = (bytes(self.q)?, bytes(self.zero)?);
        Ok(dynamic_lstm::Side { values, scale: &self.scale, zero: Some(zero) })
    }

    /// As floats, turned as LSTM has them: `[D,4H,from]`.
    fn floats(&self, node: &Node<'_>) -> Result<Tensor> {
        let number = |ints: &Ints| ints.values().iter().map(|&v| v as f32).collect::<Vec<_>>();
        let directions = self.q.shape()[0];
        let spread = [directions, 1, self.scale.len() / directions];
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, node.device);
        let zero = tensor(&number(self.zero), &spread)?;
        let centred = nd::binary(Binary::Sub, &tensor(&number(self.q), self.q.shape())?, &zero)?;
        let floats = nd::binary(Binary::Mul, &centred, &tensor(&self.scale, &spread)?)?;
        nd::transpose(&floats, &[0, 2, 1])
    }
}
