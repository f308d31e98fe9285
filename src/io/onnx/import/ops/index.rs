//! Numbers by their places: gathered, scattered, sorted, counted.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use super::axis;
use super::convert::cast;
use super::elementwise::as_floats;
use crate::Result;
use crate::ops::nd;
use crate::tensor::room_for;
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Gather" => {
            let at = node.int("axis", 0)?;
            Arc::new(move |args| gather(args, at).map(|y| vec![y]))
        }
        "GatherElements" => {
            let at = node.int("axis", 0)?;
            Arc::new(move |args| {
                let (x, indices) = (args.get(0)?, args.ints(1)?);
                let (at, shape) = (axis(at, x.shape().len())?, indices.shape());
                let indices = indices.values();
                Ok(vec![match x {
                    Value::Floats(x) => Value::Floats(nd::gather_elements(x, at, &indices, shape)?),
                    Value::Ints(x) => Value::Ints(x.moved(
                        |a| a.gather_elements(at, &indices, shape),
                        |a| a.gather_elements(at, &indices, shape),
                    )?),
                }])
            })
        }
        "GatherND" => {
            let batch = node.int("batch_dims", 0)?;
            Arc::new(move |args| {
                let (x, indices) = (args.get(0)?, args.ints(1)?);
                let wrong = || refused("batch_dims", "of at least 0", batch);
                let batch = usize::try_from(batch).map_err(|_| wrong())?;
                let (rows, last) = match indices.shape().split_last() {
                    Some((&last, rows)) => (rows, last),
                    None => return Err(super::super::plan::wrong(1, "of some axes", "one number")),
                };
                let part = x.shape().get(batch.saturating_add(last)..).unwrap_or_default();
                args.room(&[rows, part].concat())?;
                let y = nd::gather_nd(&exact(args, x)?, batch, &indices.values(), indices.shape())?;
                Ok(vec![cast(args, &Value::Floats(y), x.element())?])
            })
        }
        "OneHot" => {
            let at = node.int("axis", -1)?;
            Arc::new(move |args| one_hot(args, at).map(|y| vec![y]))
        }
        "ArgMax" => arg(node, true)?,
        "ArgMin" => arg(node, false)?,
        "TopK" => top_k(node)?,
        "CumSum" => {
            let (exclusive, reverse) =
                (node.flag("exclusive", false)?, node.flag("reverse", false)?);
            Arc::new(move |args| {
                let x = args.get(0)?;
                let at = axis(args.int(1)?, x.shape().len())?;
                let sums = nd::cum_sum(&exact_sums(args, x)?, at, exclusive, reverse)?;
                Ok(vec![cast(args, &Value::Floats(sums), x.element())?])
            })
        }
        "NonZero" => Arc::new(|args| non_zero(args).map(|y| vec![y])),
        _ => return Ok(None),
    }))
}

/// Integers as floats, if these hold all of them.
pub(super) fn exact(args: &Args<'_>, x: &Value) -> Result<crate::Tensor> {
    limited(args, x, u64::max)
}

/// Integers as floats, if these hold all sums of them.
fn exact_sums(args: &Args<'_>, x: &Value) -> Result<crate::Tensor> {
    limited(args, x, u64::saturating_add)
}

fn limited(args: &Args<'_>, x: &Value, f: impl Fn(u64, u64) -> u64) -> Result<crate::Tensor> {
    if let Value::Ints(ints) = x
        && ints.values().iter().map(|v| v.unsigned_abs()).fold(0, f) > 1 << 24
    {
        return Err(wrong(0, "integers of at most 2^24", "larger ones"));
    }
    as_floats(args, x)
}

fn gather(args: &Args<'_>, at: i64) -> Result<Value> {
    let (x, indices) = (args.get(0)?, args.ints(1)?);
    let (at, shape) = (axis(at, x.shape().len())?, indices.shape());
    let whole = [&x.shape()[..at], shape, &x.shape()[at + 1..]].concat();
    args.room(&whole)?;
    let indices = indices.values();
    Ok(match x {
        Value::Floats(x) => Value::Floats(nd::gather(x, at, &indices, shape)?),
        Value::Ints(x) => Value::Ints(
            x.moved(|a| a.gather(at, &indices, shape), |a| a.gather(at, &indices, shape))?,
        ),
    })
}

fn one_hot(args: &Args<'_>, at: i64) -> Result<Value> {
    let indices = match args.get(0)? {
        Value::Ints(ints) => ints.clone(),
        Value::Floats(_) => match cast(args, args.get(0)?, Element::I64)? {
            Value::Ints(ints) => ints,
            Value::Floats(_) => return Err(wrong(0, "integers", "floats")),
        },
    };
    let depth = match args.get(1)? {
        Value::Ints(_) => args.int(1)?,
        Value::Floats(_) => args.float(1)? as i64,
    };
    let depth = usize::try_from(depth).map_err(|_| wrong(1, "a depth of at least 0", depth))?;
    let at = axis(at, indices.shape().len() + 1)?;
    let mut shape = indices.shape().to_vec();
    shape.insert(at, depth);
    args.room(&shape)?;
    let kind = args.get(2)?.element();
    let &[off, on] = &*as_floats(args, args.get(2)?)?.to_vec()? else {
        return Err(wrong(2, "two numbers", "others"));
    };
    // Numbers out of range are off everywhere.
    let size = depth as i64;
    let place = |&i: &i64| match i {
        i if (0..size).contains(&i) => i,
        i if (-size..0).contains(&i) => i + size,
        _ => size,
    };
    let places: Vec<_> = indices.values().iter().map(place).collect();
    let hot = nd::one_hot(&places, indices.shape(), depth + 1, at, [off, on], args.device)?;
    let hot = nd::slice(&hot, &[nd::SliceAxis { axis: at, first: 0, step: 1, count: depth }])?;
    cast(args, &Value::Floats(hot), kind)
}

fn arg(node: &Node<'_>, max: bool) -> Result<Run> {
    let (at, keep) = (node.int("axis", 0)?, node.flag("keepdims", true)?);
    let last = node.flag("select_last_index", false)?;
    Ok(Arc::new(move |args| {
        let x = args.get(0)?;
        let at = axis(at, x.shape().len())?;
        let values = exact(args, x)?;
        let places = match max {
            true => nd::arg_max(&values, at, last)?,
            false => nd::arg_min(&values, at, last)?,
        };
        let mut shape = x.shape().to_vec();
        match keep {
            true => shape[at] = 1,
            false => _ = shape.remove(at),
        }
        Ok(vec![Value::Ints(Ints::new(Element::I64, shape, places)?)])
    }))
}

fn top_k(node: &Node<'_>) -> Result<Run> {
    let (at, largest) = (node.int("axis", -1)?, node.flag("largest", true)?);
    // In any order is sorted as well.
    node.ignore(&["sorted"]);
    let fixed = if node.version < 10 { Some(node.int("k", 1)?) } else { None };
    Ok(Arc::new(move |args| {
        let x = args.get(0)?;
        let at = axis(at, x.shape().len())?;
        let k = fixed.map_or_else(|| args.int(1), Ok)?;
        let size = x.shape()[at];
        let wrong = || refused("k", format!("from 0 to {size}"), k);
        let k = usize::try_from(k).ok().filter(|&k| k <= size).ok_or_else(wrong)?;
        let (values, places) = nd::top_k(&exact(args, x)?, at, k, largest)?;
        let places = Ints::new(Element::I64, values.shape().to_vec(), places)?;
        Ok(vec![cast(args, &Value::Floats(values), x.element())?, Value::Ints(places)])
    }))
}

fn non_zero(args: &Args<'_>) -> Result<Value> {
    let x = args.get(0)?;
    let is: Vec<bool> = match x {
        Value::Floats(x) => x.to_vec()?.into_iter().map(|v| v != 0.0).collect(),
        Value::Ints(x) => x.values().iter().map(|&v| v != 0).collect(),
    };
    let places: Vec<_> = is.iter().enumerate().filter_map(|(at, &is)| is.then_some(at)).collect();
    // One number has a place, as in a list of one.
    let sizes = if x.shape().is_empty() { &[1] } else { x.shape() };
    let shape = vec![sizes.len(), places.len()];
    args.room(&shape)?;
    let mut values = room_for("the places of numbers", sizes.len() * places.len())?;
    let mut stride = x.len();
    for &size in sizes {
        stride = stride.checked_div(size).unwrap_or_default();
        values.extend(places.iter().map(|at| (at / stride.max(1) % size.max(1)) as i64));
    }
    Ok(Value::Ints(Ints::new(Element::I64, shape, values)?))
}
