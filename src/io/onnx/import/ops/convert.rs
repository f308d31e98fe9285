//! Constants, and numbers of one type made to another.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use super::elementwise::as_floats;
use super::{check_rank, sizes};
use crate::ops::nd;
use crate::tensor::{count, room_for};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Constant" => constant(node)?,
        "ConstantOfShape" => {
            let value = node.tensor("value")?;
            if value.as_ref().is_some_and(|value| value.len() != 1) {
                return Err(node.bad("a value of one number", "one of more or none"));
            }
            Arc::new(move |args| {
                let shape = sizes(&args.list(0)?)?;
                check_rank(shape.len())?;
                args.room(&shape)?;
                Ok(vec![match &value {
                    None => Value::Floats(Tensor::zeros(shape, args.device)?),
                    Some(Value::Floats(value)) => {
                        Value::Floats(nd::expand(&value.reshape([])?, &shape)?)
                    }
                    Some(Value::Ints(value)) => {
                        let one = value.values().first().copied().unwrap_or_default();
                        let mut values = room_for("a constant", count(&shape))?;
                        values.resize(count(&shape), one);
                        Value::Ints(Ints::new(value.kind, shape, values)?)
                    }
                }])
            })
        }
        "Range" => {
            // Numbers are made in 32 bits whatever it says.
            node.ignore(&["stash_type"]);
            Arc::new(|args| range(args).map(|y| vec![y]))
        }
        "Cast" => {
            node.ignore(&["saturate", "round_mode"]);
            let to = node.element("to", 0)?;
            Arc::new(move |args| Ok(vec![cast(args, args.get(0)?, to)?]))
        }
        "CastLike" => {
            node.ignore(&["saturate", "round_mode"]);
            Arc::new(|args| Ok(vec![cast(args, args.get(0)?, args.get(1)?.element())?]))
        }
        "EyeLike" => {
            let k = node.int("k", 0)?;
            let to = if node.has("dtype") { Some(node.element("dtype", 1)?) } else { None };
            Arc::new(move |args| {
                let x = args.get(0)?;
                let &[rows, columns] = x.shape() else {
                    return Err(wrong(0, "a matrix", format!("{:?}", x.shape())));
                };
                args.room(x.shape())?;
                let is = |at: usize| {
                    let (row, column) =
                        ((at / columns.max(1)) as i64, (at % columns.max(1)) as i64);
                    i64::from(row.saturating_add(k) == column)
                };
                let ones = (0..rows * columns).map(is).collect();
                let ones = Ints::new(Element::I64, x.shape().to_vec(), ones)?;
                Ok(vec![cast(args, &Value::Ints(ones), to.unwrap_or(x.element()))?])
            })
        }
        _ => return Ok(None),
    }))
}

fn constant(node: &Node<'_>) -> Result<Run> {
    let list = |len: usize| vec![len];
    let value = if let Some(value) = node.tensor("value")? {
        value
    } else if let Some(values) = node.floats("value_floats")? {
        Value::Floats(Tensor::from_slice(values, list(values.len()), node.device)?)
    } else if let Some(values) = node.ints("value_ints")? {
        Value::Ints(Ints::new(Element::I64, list(values.len()), values.to_vec())?)
    } else if node.has("value_float") {
        Value::Floats(Tensor::from_slice(&[node.float("value_float", 0.0)?], [], node.device)?)
    } else if node.has("value_int") {
        Value::Ints(Ints::new(Element::I64, vec![], vec![node.int("value_int", 0)?])?)
    } else {
        return Err(node.bad("a constant of numbers", "another or none"));
    };
    Ok(Arc::new(move |_| Ok(vec![value.clone()])))
}

fn range(args: &Args<'_>) -> Result<Value> {
    let steps = |count: f64| -> Result<usize> {
        let count = count.max(0.0);
        if !count.is_finite() || count > args.limit as f64 {
            return Err(refused("a range", format!("of at most {} numbers", args.limit), count));
        }
        Ok(count as usize)
    };
    if let Value::Ints(first) = args.get(0)? {
        let (start, limit, delta) = (args.int(0)?, args.int(1)?, args.int(2)?);
        if delta == 0 {
            return Err(wrong(2, "a step other than 0", 0));
        }
        let (span, step) = (i128::from(limit) - i128::from(start), i128::from(delta));
        let count = if (span > 0) == (step > 0) && span != 0 {
            (span.abs() - 1) / step.abs() + 1
        } else {
            0
        };
        let count = steps(count as f64)?;
        let values = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta))).collect();
        return Ok(Value::Ints(Ints::new(first.kind, vec![count], values)?));
    }
    let (start, limit, delta) = (args.float(0)?, args.float(1)?, args.float(2)?);
    let count = steps(((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil())?;
    let values: Vec<_> = (0..count).map(|i| start + i as f32 * delta).collect();
    Ok(Value::Floats(Tensor::from_slice(&values, [count], args.device)?))
}

/// A value in another type. Floats keep 32 bits in whatever type of floats, but for what 16 bits cannot hold.
pub(super) fn cast(args: &Args<'_>, x: &Value, to: Element) -> Result<Value> {
    Ok(match (x, to.is_float()) {
        (Value::Floats(x), true) => Value::Floats(x.clone()),
        (Value::Ints(_), true) => Value::Floats(as_floats(args, x)?),
        (Value::Ints(x), false) => Value::Ints(x.map(to, |v| v)?),
        (Value::Floats(x), false) => {
            let whole = |v: f32| match to {
                Element::Bool => i64::from(v != 0.0),
                Element::U64 => v as u64 as i64,
                _ => to.wrap(v as i64),
            };
            let values = x.to_vec()?.into_iter().map(whole).collect();
            Value::Ints(Ints::new(to, x.shape().to_vec(), values)?)
        }
    })
}
