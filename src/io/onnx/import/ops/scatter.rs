//! Numbers put to places.

use super::super::node::Node;
use super::super::plan::{Args, Run, wrong};
use super::super::value::{Element, Ints, Value};
use super::axis;
use crate::Result;
use crate::ops::nd::host::Array;
use crate::ops::nd::{self, Scatter};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Scatter" | "ScatterElements" => {
            let (at, how) = (node.int("axis", 0)?, how(node)?);
            Arc::new(move |args| elements(args, at, how).map(|y| vec![y]))
        }
        "ScatterND" => {
            let how = how(node)?;
            Arc::new(move |args| {
                let indices = args.ints(1)?;
                let (list, shape) = (indices.values(), indices.shape());
                Ok(vec![match (args.get(0)?, args.get(2)?) {
                    (Value::Floats(x), Value::Floats(updates)) => {
                        Value::Floats(nd::scatter_nd(x, &list, shape, updates, how)?)
                    }
                    (Value::Ints(x), Value::Ints(updates)) => {
                        ints(x, updates, how, |x, updates, f| {
                            x.scatter_nd(&list, shape, updates, f)
                        })?
                    }
                    (x, updates) => return Err(other(x, updates)),
                }])
            })
        }
        _ => return Ok(None),
    }))
}

fn how(node: &Node<'_>) -> Result<Scatter> {
    Ok(match node.text("reduction", "none")? {
        "none" => Scatter::Set,
        "add" => Scatter::Add,
        "mul" => Scatter::Mul,
        "min" => Scatter::Min,
        "max" => Scatter::Max,
        other => return Err(node.bad("none, add, mul, min or max as reduction", other)),
    })
}

fn elements(args: &Args<'_>, at: i64, how: Scatter) -> Result<Value> {
    let (x, indices, updates) = (args.get(0)?, args.ints(1)?, args.get(2)?);
    let (found, expected) = (updates.shape(), indices.shape());
    if found != expected {
        return Err(wrong(2, format!("{expected:?}, as input 1"), format!("{found:?}")));
    }
    let at = axis(at, x.shape().len())?;
    let list = indices.values();
    Ok(match (x, updates) {
        (Value::Floats(x), Value::Floats(updates)) => {
            Value::Floats(nd::scatter_elements(x, at, &list, updates, how)?)
        }
        (Value::Ints(x), Value::Ints(updates)) => {
            ints(x, updates, how, |x, updates, f| x.scatter_elements(at, &list, updates, f))?
        }
        (x, updates) => return Err(other(x, updates)),
    })
}

fn other(x: &Value, updates: &Value) -> crate::Error {
    wrong(2, format!("of {}, as input 0", x.element()), updates.element())
}

/// Integers are put on the host.
fn ints(
    x: &Ints,
    updates: &Ints,
    how: Scatter,
    put: impl FnOnce(&Array<i64>, &Array<i64>, &dyn Fn(i64, i64) -> i64) -> Result<Array<i64>>,
) -> Result<Value> {
    let kind = x.kind;
    if kind != updates.kind {
        return Err(wrong(2, format!("of {kind}, as input 0"), updates.kind));
    }
    let less = |a: i64, b: i64| if kind == Element::U64 { (a as u64) < b as u64 } else { a < b };
    let f = |old: i64, new: i64| match how {
        Scatter::Set => new,
        Scatter::Add => kind.wrap(old.wrapping_add(new)),
        Scatter::Mul => kind.wrap(old.wrapping_mul(new)),
        Scatter::Min => {
            if less(new, old) {
                new
            } else {
                old
            }
        }
        Scatter::Max => {
            if less(old, new) {
                new
            } else {
                old
            }
        }
    };
    let array = put(&x.wide(), &updates.wide(), &f)?;
    Ok(Value::Ints(Ints::from_array(kind, array)?))
}
