//! Values put together and taken apart.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Data, Ints, Value};
use super::axis;
use crate::ops::nd::host::Array;
use crate::ops::nd::{self, SliceAxis};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Concat" => {
            let default = if node.version < 4 { 1 } else { i64::MIN };
            let at = node.int("axis", default)?;
            if at == i64::MIN {
                return Err(node.bad("an attribute axis", "without it"));
            }
            Arc::new(move |args| concat(args, at).map(|y| vec![y]))
        }
        "Split" => split(node)?,
        _ => return Ok(None),
    }))
}

fn concat(args: &Args<'_>, at: i64) -> Result<Value> {
    let parts = (0..args.len()).map(|i| args.get(i)).collect::<Result<Vec<_>>>()?;
    let first = args.get(0)?.shape();
    let at = axis(at, first.len())?;
    let mut whole = first.to_vec();
    whole[at] = parts.iter().fold(0, |sum: usize, part| {
        sum.saturating_add(part.shape().get(at).copied().unwrap_or_default())
    });
    args.room(&whole)?;
    join(&parts, at)
}

/// Values one after the other along an axis.
pub(super) fn join(parts: &[&Value], at: usize) -> Result<Value> {
    let &[first, ..] = parts else { return Err(wrong(0, "there", "left out")) };
    if parts.len() == 1 {
        return Ok(first.clone());
    }
    if let Some(i) = parts.iter().position(|part| part.element() != first.element()) {
        return Err(wrong(i, format!("of {}, as input 0", first.element()), parts[i].element()));
    }
    let (mut floats, mut wide, mut bytes) =
        (Vec::<&Tensor>::new(), Vec::<&Array<i64>>::new(), Vec::new());
    let mut kind = first.element();
    for part in parts {
        match part {
            Value::Floats(part) => floats.push(part),
            Value::Ints(part) => {
                kind = part.kind;
                match &part.data {
                    Data::Wide(array) => wide.push(array),
                    Data::Bytes(array) => bytes.push(&**array),
                }
            }
        }
    }
    if !floats.is_empty() {
        return Ok(Value::Floats(nd::concat(&floats, at)?));
    }
    let data = match bytes.is_empty() {
        true => Data::Wide(Arc::new(Array::concat(&wide, at)?)),
        false => Data::Bytes(Arc::new(Array::concat(&bytes, at)?)),
    };
    Ok(Value::Ints(Ints { kind, data }))
}

fn split(node: &Node<'_>) -> Result<Run> {
    let at = node.int("axis", 0)?;
    // In version 1 both are there.
    let sizes = match node.version < 13 && node.has("split") {
        false if node.version < 13 => super::super::node::List::input(1),
        _ => node.list("split", 13, 1)?,
    };
    let count = node.outputs();
    let parts = node.int("num_outputs", count as i64)?;
    if parts != count as i64 || count == 0 {
        return Err(
            node.bad(format!("num_outputs of {count}, as many as it has"), parts.to_string())
        );
    }
    Ok(Arc::new(move |args| {
        let x = args.get(0)?;
        let at = axis(at, x.shape().len())?;
        let size = x.shape()[at];
        let sizes = match sizes.get(args)? {
            Some(list) => super::sizes(&list)?,
            // The last one is smaller if it must be.
            None => {
                let each = size.div_ceil(count);
                (0..count).map(|i| each.min(size.saturating_sub(i * each))).collect()
            }
        };
        let sum = sizes.iter().fold(0usize, |sum, &part| sum.saturating_add(part));
        if sum != size || sizes.len() != count {
            return Err(refused(
                "parts",
                format!("{count}, together {size}"),
                format!("{sizes:?}"),
            ));
        }
        if let Value::Floats(x) = x {
            return Ok(nd::split(x, at, &sizes)?.into_iter().map(Value::Floats).collect());
        }
        let x = args.ints(0)?;
        let mut first = 0;
        let mut outputs = Vec::with_capacity(count);
        for part in sizes {
            let slice = [SliceAxis { axis: at, first, step: 1, count: part }];
            outputs.push(Value::Ints(x.moved(|a| a.slice(&slice), |a| a.slice(&slice))?));
            first += part;
        }
        Ok(outputs)
    }))
}
