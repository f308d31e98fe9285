//! Sums, means and the like over axes.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use super::axes;
use crate::Result;
use crate::ops::nd::{self, Reduce};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    let kind = match op {
        "ReduceSum" => Reduce::Sum,
        "ReduceMean" => Reduce::Mean,
        "ReduceMax" => Reduce::Max,
        "ReduceMin" => Reduce::Min,
        "ReduceProd" => Reduce::Prod,
        "ReduceL1" => Reduce::L1,
        "ReduceL2" => Reduce::L2,
        "ReduceSumSquare" => Reduce::SumSquare,
        "ReduceLogSum" => Reduce::LogSum,
        "ReduceLogSumExp" => Reduce::LogSumExp,
        _ => return Ok(None),
    };
    // The axes became an input, of the sum before the others.
    let list = node.list("axes", if kind == Reduce::Sum { 13 } else { 18 }, 1)?;
    let keep = node.flag("keepdims", true)?;
    let none_is_none = node.flag("noop_with_empty_axes", false)?;
    Ok(Some(Arc::new(move |args| {
        let x = args.get(0)?;
        let rank = x.shape().len();
        let axes = match list.get(args)? {
            Some(list) if !list.is_empty() => axes(&list, rank)?,
            _ if none_is_none => vec![],
            _ => (0..rank).collect(),
        };
        Ok(vec![match x {
            Value::Floats(x) => Value::Floats(nd::reduce(kind, x, &axes, keep)?),
            Value::Ints(x) => ints(args, kind, x, &axes, keep)?,
        }])
    })))
}

fn ints(_: &Args<'_>, kind: Reduce, x: &Ints, axes: &[usize], keep: bool) -> Result<Value> {
    let f: fn(&[i64]) -> i64 = match kind {
        Reduce::Sum => |v| v.iter().copied().fold(0, i64::wrapping_add),
        Reduce::Prod => |v| v.iter().copied().fold(1, i64::wrapping_mul),
        Reduce::Max => |v| v.iter().copied().max().unwrap_or(i64::MIN),
        Reduce::Min => |v| v.iter().copied().min().unwrap_or(i64::MAX),
        Reduce::Mean => |v| v.iter().copied().fold(0, i64::wrapping_add) / (v.len().max(1) as i64),
        Reduce::L1 => |v| v.iter().map(|v| v.wrapping_abs()).fold(0, i64::wrapping_add),
        Reduce::SumSquare => |v| v.iter().map(|v| v.wrapping_mul(*v)).fold(0, i64::wrapping_add),
        _ => return Err(wrong(0, "floats", x.kind)),
    };
    let f = match (kind, x.kind) {
        // Of none, too.
        (Reduce::Max, Element::Bool) => |v: &[i64]| v.iter().copied().max().unwrap_or(0),
        (Reduce::Min, Element::Bool) => |v: &[i64]| v.iter().copied().min().unwrap_or(1),
        _ => f,
    };
    if matches!(kind, Reduce::Max | Reduce::Min | Reduce::Mean)
        && x.is_empty()
        && x.kind != Element::Bool
    {
        return Err(refused("integers", "of which there are some", "none"));
    }
    let array = x.wide().reduce(axes, keep, |values| x.kind.wrap(f(values)))?;
    Ok(Value::Ints(Ints::from_array(x.kind, array)?))
}
