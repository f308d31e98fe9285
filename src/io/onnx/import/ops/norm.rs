//! Products of matrices, softmax and normalisations.

use super::super::node::Node;
use super::super::plan::Run;
use super::super::value::Value;
use super::axis;
use crate::ops::nd::{self, Binary, Reduce, Unary};
use crate::tensor::count;
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "MatMul" => Arc::new(|args| {
            let (a, b) = (args.floats(0)?, args.floats(1)?);
            args.room(&product_shape(a.shape(), b.shape()))?;
            Ok(vec![Value::Floats(nd::matmul(a, b)?)])
        }),
        "Gemm" => {
            if node.version < 7 {
                // Shapes are broadcast from version 7 on whatever this says.
                node.ignore(&["broadcast"]);
            }
            let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
            let turned = [node.flag("transA", false)?, node.flag("transB", false)?];
            Arc::new(move |args| {
                let (a, b, c) = (args.floats(0)?, args.floats(1)?, args.opt_floats(2)?);
                // What fits no product is told by the product.
                let size = |x: &Tensor, axis| x.shape().get(axis).copied().unwrap_or_default();
                let [rows, columns] = turned.map(usize::from);
                args.room(&[size(a, rows), size(b, 1 - columns)])?;
                Ok(vec![Value::Floats(nd::gemm(a, b, c, alpha, beta, turned)?)])
            })
        }
        "Softmax" => softmax(node, nd::softmax)?,
        "LogSoftmax" => softmax(node, nd::log_softmax)?,
        "LayerNormalization" => {
            let (at, epsilon) = (node.int("axis", -1)?, node.float("epsilon", 1e-5)?);
            node.ignore(&["stash_type"]);
            let moments = node.has_output(1) || node.has_output(2);
            Arc::new(move |args| {
                let (x, scale, bias) = (args.floats(0)?, args.floats(1)?, args.opt_floats(2)?);
                let at = axis(at, x.shape().len())?;
                let mut outputs = vec![Value::Floats(nd::layer_norm(x, at, scale, bias, epsilon)?)];
                if moments {
                    let axes: Vec<_> = (at..x.shape().len()).collect();
                    let mean = nd::reduce(Reduce::Mean, x, &axes, true)?;
                    let centred = nd::binary(Binary::Sub, x, &mean)?;
                    let squares = nd::binary(Binary::Mul, &centred, &centred)?;
                    let variance = nd::reduce(Reduce::Mean, &squares, &axes, true)?;
                    let epsilon = Tensor::from_slice(&[epsilon], [], args.device)?;
                    let deviation =
                        nd::unary(Unary::Sqrt, &nd::binary(Binary::Add, &variance, &epsilon)?)?;
                    outputs.push(Value::Floats(mean));
                    outputs.push(Value::Floats(nd::unary(Unary::Reciprocal, &deviation)?));
                }
                Ok(outputs)
            })
        }
        "InstanceNormalization" => {
            let epsilon = node.float("epsilon", 1e-5)?;
            Arc::new(move |args| {
                let (x, scale, bias) = (args.floats(0)?, args.floats(1)?, args.floats(2)?);
                Ok(vec![Value::Floats(nd::instance_norm(x, scale, bias, epsilon)?)])
            })
        }
        "BatchNormalization" => {
            let epsilon = node.float("epsilon", 1e-5)?;
            node.ignore(&["momentum"]);
            let training = match node.version {
                ..7 => !node.flag("is_test", false)?,
                _ => node.flag("training_mode", false)?,
            };
            let spatial = node.version >= 9 || node.flag("spatial", true)?;
            if training || !spatial || node.has_output(1) {
                let found = "that of training, or one of each place";
                return Err(node.bad("the normalisation of inference, one of each channel", found));
            }
            Arc::new(move |args| {
                let part = |at| args.floats(at);
                let x = nd::batch_norm(part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, epsilon)?;
                Ok(vec![Value::Floats(x)])
            })
        }
        "LpNormalization" => {
            let (at, p) = (node.int("axis", -1)?, node.int("p", 2)?);
            let kind = match p {
                1 => Reduce::L1,
                2 => Reduce::L2,
                p => return Err(node.bad("1 or 2 as p", p.to_string())),
            };
            Arc::new(move |args| {
                let x = args.floats(0)?;
                let norm = nd::reduce(kind, x, &[axis(at, x.shape().len())?], true)?;
                // Where all are 0 they stay it.
                let norm = nd::unary(Unary::Clip(f32::MIN_POSITIVE, f32::INFINITY), &norm)?;
                Ok(vec![Value::Floats(nd::binary(Binary::Div, x, &norm)?)])
            })
        }
        _ => return Ok(None),
    }))
}

/// About as many numbers as a product has, for the check of its size; what does not fit is told by the product.
fn product_shape(a: &[usize], b: &[usize]) -> Vec<usize> {
    let (Some((_, left)), Some(columns)) = (a.split_last(), b.last()) else { return vec![] };
    let mut shape = left.to_vec();
    if b.len() > 1 {
        shape.push(*columns);
    }
    shape
}

fn softmax(node: &Node<'_>, f: fn(&Tensor, usize) -> Result<Tensor>) -> Result<Run> {
    let old = node.version < 13;
    let at = node.int("axis", if old { 1 } else { -1 })?;
    Ok(Arc::new(move |args| {
        let x = args.floats(0)?;
        let shape = x.shape();
        if !old {
            return Ok(vec![Value::Floats(f(x, axis(at, shape.len())?)?)]);
        }
        // Over all axes from this one on.
        let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
        let (rows, columns) = shape.split_at(at);
        let y = f(&x.reshape([count(rows), count(columns)])?, 1)?;
        Ok(vec![Value::Floats(y.reshape(shape.to_vec())?)])
    }))
}
