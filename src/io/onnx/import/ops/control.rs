//! Graphs within graphs: branches and loops.

use super::super::node::Node;
use super::super::plan::{Args, Plan, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use super::super::{Axis, TensorInfo};
use super::combine::join;
use super::shape::reshape;
use super::{Inner, axis};
use crate::ops::nd::{self, SliceAxis};
use crate::{Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str, inner: &[Inner<'_>]) -> Result<Option<Run>> {
    Ok(Some(match op {
        "If" => {
            let then = Body::of(node, inner, "then_branch")?;
            let otherwise = Body::of(node, inner, "else_branch")?;
            Arc::new(move |args| {
                let branch = if args.int(0)? != 0 { &then } else { &otherwise };
                branch.run(args, vec![])
            })
        }
        "Loop" => {
            let body = Body::of(node, inner, "body")?;
            let states = node.proto.inputs.len().saturating_sub(2);
            if body.inputs != states + 2 || body.plan.outputs.len() <= states {
                return Err(node.bad("a body for its inputs", "one of other inputs and outputs"));
            }
            Arc::new(move |args| run_loop(args, &body, states))
        }
        "Scan" if node.version >= 9 => scan(node, inner)?,
        _ => return Ok(None),
    }))
}

/// A graph within a node.
struct Body {
    plan: Arc<Plan>,
    inputs: usize,
    captured: Range<usize>,
    outputs: Vec<TensorInfo>,
}

impl Body {
    fn of(node: &Node<'_>, inner: &[Inner<'_>], name: &str) -> Result<Self> {
        // It is an attribute that was asked for.
        node.ignore(&[name]);
        let found = inner.iter().find(|inner| inner.name == name);
        let found = found.ok_or_else(|| node.bad(format!("a graph as {name}"), "none"))?;
        Ok(Self {
            plan: found.plan.clone(),
            inputs: found.inputs,
            captured: found.captured.clone(),
            outputs: found.outputs.iter().map(TensorInfo::of).collect(),
        })
    }

    fn run(&self, args: &Args<'_>, own: Vec<Value>) -> Result<Vec<Value>> {
        let captured = self.captured.clone().map(|at| args.get(at).cloned());
        let inputs = own.into_iter().map(Ok).chain(captured).collect::<Result<Vec<_>>>()?;
        self.plan.run(inputs, args.device)
    }

    /// What is put together of an output in no round: nothing along a new axis, by the output's type and axes as the
    /// file has them. Axes that it leaves open are empty, as in ONNX Runtime.
    fn none(
        &self,
        args: &Args<'_>,
        output: usize,
        axis: impl FnOnce(usize) -> Result<usize>,
    ) -> Result<Value> {
        let info = self.outputs.get(output);
        let known = info.and_then(|info| Some((info.element?, info.shape.as_ref()?)));
        let Some((element, axes)) = known.filter(|(element, _)| *element != Element::Text) else {
            let expected = "of one round at least, where the file has no shape of what it gives";
            return Err(refused("a loop", expected, "none"));
        };
        let size = |axis: &Axis| if let Axis::Size(size) = axis { *size } else { 0 };
        let mut shape: Vec<_> = axes.iter().map(size).collect();
        shape.insert(axis(shape.len() + 1)?, 0);
        Ok(match element.is_float() {
            true => Value::Floats(Tensor::zeros(shape, args.device)?),
            false => Value::Ints(Ints::new(element, shape, vec![])?),
        })
    }
}

fn run_loop(args: &Args<'_>, body: &Body, states: usize) -> Result<Vec<Value>> {
    let most = args.opt(0).map_or(Ok(i64::MAX), |_| args.int(0))?;
    let mut goes_on = args.opt(1).map_or(Ok(1), |_| args.int(1))? != 0;
    let mut state = (2..2 + states).map(|at| args.get(at).cloned()).collect::<Result<Vec<_>>>()?;
    let mut scanned: Vec<Vec<Value>> = vec![Vec::new(); body.plan.outputs.len() - 1 - states];
    let mut round = 0;
    while goes_on && round < most {
        let mut inputs = vec![
            Value::Ints(Ints::new(Element::I64, vec![], vec![round])?),
            Value::Ints(Ints::new(Element::Bool, vec![], vec![1])?),
        ];
        inputs.append(&mut state);
        let mut outputs = body.run(args, inputs)?.into_iter();
        goes_on = match outputs.next() {
            Some(Value::Ints(is)) => is.values().first().is_some_and(|&is| is != 0),
            _ => return Err(refused("a condition", "a boolean", "another")),
        };
        state.extend(outputs.by_ref().take(states));
        for (all, one) in scanned.iter_mut().zip(outputs) {
            all.push(one);
        }
        round += 1;
    }
    for (i, all) in scanned.into_iter().enumerate() {
        state.push(match all.is_empty() {
            true => body.none(args, 1 + states + i, |_| Ok(0))?,
            false => stacked(&all, 0)?,
        });
    }
    Ok(state)
}

/// Values side by side along a new axis.
fn stacked(all: &[Value], at: usize) -> Result<Value> {
    let Some(first) = all.first() else {
        return Err(refused("a loop", "of one round at least, where it gives its values", "none"));
    };
    let mut shape = first.shape().to_vec();
    if at > shape.len() {
        return Err(refused("an axis", format!("up to {}", shape.len()), at));
    }
    shape.insert(at, 1);
    let parts = all.iter().map(|one| reshape(one, shape.clone())).collect::<Result<Vec<_>>>()?;
    join(&parts.iter().collect::<Vec<_>>(), at)
}

fn scan(node: &Node<'_>, inner: &[Inner<'_>]) -> Result<Run> {
    let body = Body::of(node, inner, "body")?;
    let inputs = node.proto.inputs.len();
    let scanned = usize::try_from(node.int("num_scan_inputs", 0)?).ok();
    let scanned = scanned.filter(|&n| n > 0 && n <= inputs && body.inputs == inputs);
    let scanned =
        scanned.ok_or_else(|| node.bad("a body for its inputs", "one of other inputs"))?;
    let states = inputs - scanned;
    let results = body.plan.outputs.len().checked_sub(states);
    let results =
        results.ok_or_else(|| node.bad("a body that gives all states", "one that does not"))?;
    let list = |name: &str, len: usize| -> Result<Vec<i64>> {
        let list = node.ints(name)?.map_or(vec![0; len], <[_]>::to_vec);
        match list.len() == len {
            true => Ok(list),
            false => Err(node.bad(format!("{len} numbers as {name}"), format!("{list:?}"))),
        }
    };
    let (axes_in, back_in) =
        (list("scan_input_axes", scanned)?, list("scan_input_directions", scanned)?);
    let (axes_out, back_out) =
        (list("scan_output_axes", results)?, list("scan_output_directions", results)?);
    Ok(Arc::new(move |args| {
        let mut state = (0..states).map(|at| args.get(at).cloned()).collect::<Result<Vec<_>>>()?;
        let mut rounds = None;
        let mut axes = Vec::new();
        for (i, &at) in axes_in.iter().enumerate() {
            let shape = args.get(states + i)?.shape();
            axes.push(axis(at, shape.len())?);
            let size = shape[axes[i]];
            if *rounds.get_or_insert(size) != size {
                return Err(wrong(states + i, format!("{:?} steps", rounds), size));
            }
        }
        let rounds = rounds.unwrap_or_default();
        let mut all: Vec<Vec<Value>> = vec![Vec::new(); results];
        for round in 0..rounds {
            let mut inputs = std::mem::take(&mut state);
            for (i, &at) in axes.iter().enumerate() {
                let first = if back_in[i] == 0 { round } else { rounds - 1 - round };
                inputs.push(step(args.get(states + i)?, at, first)?);
            }
            let mut outputs = body.run(args, inputs)?.into_iter();
            state.extend(outputs.by_ref().take(states));
            for (all, one) in all.iter_mut().zip(outputs) {
                all.push(one);
            }
        }
        for (i, mut all) in all.into_iter().enumerate() {
            if back_out[i] != 0 {
                all.reverse();
            }
            let place = |rank| axis(axes_out[i], rank);
            state.push(match all.first() {
                None => body.none(args, states + i, place)?,
                Some(first) => stacked(&all, place(first.shape().len() + 1)?)?,
            });
        }
        Ok(state)
    }))
}

/// One step of an axis, which is left out.
fn step(x: &Value, at: usize, first: usize) -> Result<Value> {
    let part = [SliceAxis { axis: at, first, step: 1, count: 1 }];
    let mut shape = x.shape().to_vec();
    shape.remove(at);
    let one = match x {
        Value::Floats(x) => Value::Floats(nd::slice(x, &part)?),
        Value::Ints(x) => Value::Ints(x.moved(|a| a.slice(&part), |a| a.slice(&part))?),
    };
    reshape(&one, shape)
}
