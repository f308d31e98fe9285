//! Shapes: asked for, changed, and numbers moved to other places.

use super::super::node::{List, Node};
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::{Element, Ints, Value};
use super::convert::cast;
use super::index::exact;
use super::{axes, axis, check_rank, sizes};
use crate::Result;
use crate::ops::nd::{self, PadMode, SliceAxis};
use crate::tensor::count;
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Shape" => {
            let (start, end) = (node.int("start", 0)?, node.int("end", i64::MAX)?);
            Arc::new(move |args| {
                let shape = args.get(0)?.shape();
                let rank = shape.len() as i64;
                let place =
                    |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank);
                let (start, end) = (place(start) as usize, place(end) as usize);
                let part: Vec<_> = shape[start..end.max(start)].iter().map(|&d| d as i64).collect();
                Ok(vec![Value::Ints(Ints::new(Element::I64, vec![part.len()], part)?)])
            })
        }
        "Size" => Arc::new(|args| {
            let size = args.get(0)?.len() as i64;
            Ok(vec![Value::Ints(Ints::new(Element::I64, vec![], vec![size])?)])
        }),
        "Reshape" => {
            let to = node.list("shape", 5, 1)?;
            let zero = node.flag("allowzero", false)?;
            Arc::new(move |args| {
                let x = args.get(0)?;
                let Some(to) = to.get(args)? else { return Err(wrong(1, "a shape", "none")) };
                Ok(vec![reshape(x, reshaped(x.shape(), &to, zero)?)?])
            })
        }
        "Flatten" => {
            let at = node.int("axis", 1)?;
            Arc::new(move |args| {
                let x = args.get(0)?;
                let rank = x.shape().len();
                let at = if at == rank as i64 { rank } else { axis(at, rank)? };
                let (rows, columns) = x.shape().split_at(at);
                Ok(vec![reshape(x, vec![count(rows), count(columns)])?])
            })
        }
        "Squeeze" => {
            let list = node.list("axes", 13, 1)?;
            Arc::new(move |args| {
                let x = args.get(0)?;
                let mut shape = x.shape().to_vec();
                match list.get(args)? {
                    None => shape.retain(|&size| size != 1),
                    Some(list) => {
                        for at in axes(&list, shape.len())?.into_iter().rev() {
                            if shape.remove(at) != 1 {
                                return Err(refused(
                                    "axes",
                                    "of 1",
                                    format!("{list:?} of {:?}", x.shape()),
                                ));
                            }
                        }
                    }
                }
                Ok(vec![reshape(x, shape)?])
            })
        }
        "Unsqueeze" => {
            let list = node.list("axes", 13, 1)?;
            Arc::new(move |args| {
                let x = args.get(0)?;
                let Some(list) = list.get(args)? else { return Err(wrong(1, "axes", "none")) };
                check_rank(x.shape().len().saturating_add(list.len()))?;
                let mut shape = x.shape().to_vec();
                for at in axes(&list, shape.len().saturating_add(list.len()))? {
                    shape.insert(at, 1);
                }
                Ok(vec![reshape(x, shape)?])
            })
        }
        "Transpose" => {
            let order = node.ints("perm")?.map(<[_]>::to_vec);
            Arc::new(move |args| {
                let x = args.get(0)?;
                let rank = x.shape().len();
                let order = match &order {
                    Some(order) => {
                        order.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>>>()?
                    }
                    None => (0..rank).rev().collect(),
                };
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if !sorted.into_iter().eq(0..rank) {
                    return Err(refused(
                        "perm",
                        format!("with each of {rank} axes once"),
                        format!("{order:?}"),
                    ));
                }
                Ok(vec![transpose(x, &order)?])
            })
        }
        "Expand" => Arc::new(|args| {
            let x = args.get(0)?;
            let to = sizes(&args.list(1)?)?;
            check_rank(to.len())?;
            expand(args, x, &to).map(|y| vec![y])
        }),
        "Tile" => Arc::new(tile),
        "Slice" => slice(node)?,
        "Pad" => pad(node)?,
        "Trilu" => {
            let upper = node.flag("upper", true)?;
            Arc::new(move |args| {
                let k = args.opt(1).map_or(Ok(0), |_| args.int(1))?;
                Ok(vec![match args.get(0)? {
                    Value::Floats(x) => Value::Floats(nd::trilu(x, upper, k)?),
                    Value::Ints(x) => Value::Ints(triangle(x, upper, k)?),
                }])
            })
        }
        "ReverseSequence" => {
            let (time, batch) = (node.int("time_axis", 0)?, node.int("batch_axis", 1)?);
            Arc::new(move |args| {
                let x = args.floats(0)?;
                let rank = x.shape().len();
                let (time, batch) = (axis(time, rank)?, axis(batch, rank)?);
                Ok(vec![Value::Floats(nd::reverse_sequence(x, time, batch, &args.list(1)?)?)])
            })
        }
        _ => return Ok(None),
    }))
}

fn triangle(x: &Ints, upper: bool, k: i64) -> Result<Ints> {
    let &[.., rows, columns] = x.shape() else {
        return Err(wrong(0, "a matrix", format!("{:?}", x.shape())));
    };
    let mut array = x.wide().into_owned();
    for (at, value) in array.data.iter_mut().enumerate() {
        let (row, column) = ((at / columns % rows) as i64, (at % columns) as i64);
        let beyond = column.saturating_sub(row);
        if if upper { beyond < k } else { beyond > k } {
            *value = 0;
        }
    }
    Ints::from_array(x.kind, array)
}

/// The same numbers under another shape.
pub(super) fn reshape(x: &Value, shape: Vec<usize>) -> Result<Value> {
    Ok(match x {
        Value::Floats(x) => Value::Floats(x.reshape(shape)?),
        Value::Ints(x) => Value::Ints(x.reshape(shape)?),
    })
}

pub(super) fn transpose(x: &Value, order: &[usize]) -> Result<Value> {
    Ok(match x {
        Value::Floats(x) => Value::Floats(nd::transpose(x, order)?),
        Value::Ints(x) => Value::Ints(x.moved(|a| a.transpose(order), |a| a.transpose(order))?),
    })
}

fn expand(args: &Args<'_>, x: &Value, to: &[usize]) -> Result<Value> {
    let shape = nd::broadcast("Expand", &[x.shape(), to])?;
    args.room(&shape)?;
    Ok(match x {
        Value::Floats(x) => Value::Floats(nd::expand(x, &shape)?),
        Value::Ints(x) => Value::Ints(x.moved(|a| a.expand(&shape), |a| a.expand(&shape))?),
    })
}

fn tile(args: &Args<'_>) -> Result<Vec<Value>> {
    let (x, repeats) = (args.get(0)?, sizes(&args.list(1)?)?);
    let shape = x.shape();
    if repeats.len() != shape.len() {
        return Err(wrong(1, format!("{} numbers", shape.len()), repeats.len()));
    }
    // Each axis as two, of which the first is repeated.
    let pairs = |ones: bool| -> Vec<usize> {
        repeats
            .iter()
            .zip(shape)
            .flat_map(|(&times, &size)| [if ones { 1 } else { times }, size])
            .collect()
    };
    let tiled = expand(args, &reshape(x, pairs(true))?, &pairs(false))?;
    let whole = repeats.iter().zip(shape).map(|(&times, &size)| times * size).collect();
    Ok(vec![reshape(&tiled, whole)?])
}

/// The shape that `Reshape` makes: 0 is the size that was there, -1 what is left.
pub(in super::super) fn reshaped(from: &[usize], to: &[i64], zero: bool) -> Result<Vec<usize>> {
    check_rank(to.len())?;
    let bad = || refused("a shape", format!("for {from:?}"), format!("{to:?}"));
    let mut shape = Vec::with_capacity(to.len());
    let mut open = None;
    for (at, &size) in to.iter().enumerate() {
        shape.push(match size {
            -1 if open.is_none() => {
                open = Some(at);
                1
            }
            0 if !zero => *from.get(at).ok_or_else(bad)?,
            size => usize::try_from(size).map_err(|_| bad())?,
        });
    }
    if let Some(at) = open {
        let (all, others) = (count(from), count(&shape));
        if others == 0 || all % others != 0 {
            return Err(bad());
        }
        shape[at] = all / others;
    }
    match count(&shape) == count(from) {
        true => Ok(shape),
        false => Err(bad()),
    }
}

fn slice(node: &Node<'_>) -> Result<Run> {
    let (starts, ends, list, steps) = match node.version < 10 {
        true => {
            let list =
                |name| -> Result<List> { Ok(List::fixed(node.ints(name)?.map(<[_]>::to_vec))) };
            (list("starts")?, list("ends")?, list("axes")?, List::fixed(None))
        }
        false => (List::input(1), List::input(2), List::input(3), List::input(4)),
    };
    Ok(Arc::new(move |args| {
        let x = args.get(0)?;
        let shape = x.shape();
        let (Some(starts), Some(ends)) = (starts.get(args)?, ends.get(args)?) else {
            return Err(refused("starts and ends", "that are there", "without them"));
        };
        let (given, steps) = (list.get(args)?, steps.get(args)?);
        let lens =
            [Some(ends.len()), given.as_ref().map(|l| l.len()), steps.as_ref().map(|l| l.len())];
        if lens.iter().flatten().any(|&len| len != starts.len()) {
            return Err(refused(
                "starts, ends, axes and steps",
                "as many of each",
                "different numbers",
            ));
        }
        let mut parts = Vec::with_capacity(starts.len());
        for (i, (&start, &end)) in starts.iter().zip(&*ends).enumerate() {
            let at = axis(given.as_ref().map_or(i as i64, |list| list[i]), shape.len())?;
            let step = steps.as_ref().map_or(1, |list| list[i]);
            parts.push(part(at, shape[at], start, end, step)?);
        }
        parts.sort_by_key(|part| part.axis);
        if parts.windows(2).any(|pair| pair[0].axis == pair[1].axis) {
            return Err(refused("axes", "each of them once", "one twice"));
        }
        Ok(vec![match x {
            Value::Floats(x) => Value::Floats(nd::slice(x, &parts)?),
            Value::Ints(x) => Value::Ints(x.moved(|a| a.slice(&parts), |a| a.slice(&parts))?),
        }])
    }))
}

/// What numpy's `start:end:step` takes of an axis.
fn part(axis: usize, size: usize, start: i64, end: i64, step: i64) -> Result<SliceAxis> {
    if step == 0 || step == i64::MIN {
        return Err(refused("a step", "other than 0", step));
    }
    let len = size as i64;
    let from_begin = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (first, count) = match step > 0 {
        true => {
            let (start, end) = (from_begin(start).clamp(0, len), from_begin(end).clamp(0, len));
            (start, if end > start { (end - start - 1) / step + 1 } else { 0 })
        }
        false => {
            let (start, end) =
                (from_begin(start).clamp(-1, len - 1), from_begin(end).clamp(-1, len - 1));
            (start, if start > end { (start - end - 1) / -step + 1 } else { 0 })
        }
    };
    // A step that goes past every size takes one number at most.
    let step = if count <= 1 { 1 } else { step as isize };
    Ok(SliceAxis { axis, first: first.max(0) as usize, step, count: count as usize })
}

fn pad(node: &Node<'_>) -> Result<Run> {
    let mode = node.text("mode", "constant")?.to_string();
    let fixed = node.float("value", 0.0)?;
    let pads = match node.version {
        ..2 => node.list("paddings", 2, 1)?,
        _ => node.list("pads", 11, 1)?,
    };
    let old = node.version < 11;
    if !matches!(mode.as_str(), "constant" | "reflect" | "edge" | "wrap") {
        return Err(node.bad("constant, reflect, edge or wrap as mode", mode));
    }
    let known = match node.constant(2) {
        Some(Value::Floats(value)) => value.to_vec()?.first().copied(),
        _ => None,
    };
    Ok(Arc::new(move |args| {
        let x = args.get(0)?;
        let rank = x.shape().len();
        let Some(pads) = pads.get(args)? else { return Err(wrong(1, "the pads", "none")) };
        let places = match args.opt_ints(3)? {
            Some(list) => {
                list.values().iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>>>()?
            }
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * places.len() {
            return Err(wrong(1, format!("{} numbers", 2 * places.len()), pads.len()));
        }
        let mut around = [vec![0isize; rank], vec![0isize; rank]];
        let mut shape = x.shape().to_vec();
        for (i, &at) in places.iter().enumerate() {
            for (side, pad) in around.iter_mut().zip([pads[i], pads[places.len() + i]]) {
                side[at] = isize::try_from(pad).unwrap_or(isize::MAX / 4);
                shape[at] = shape[at].saturating_add(side[at].max(0) as usize);
            }
        }
        args.room(&shape)?;
        if around.iter().flatten().all(|&pad| pad == 0) {
            return Ok(vec![x.clone()]);
        }
        if let Value::Ints(ints) = x
            && mode == "constant"
        {
            return pad_ints(args, ints, &around).map(|y| vec![y]);
        }
        let kind = x.element();
        let x = exact(args, x)?;
        let value = match (known, args.opt(2)) {
            _ if old => fixed,
            _ if !kind.is_float() => 0.0,
            (Some(value), _) => value,
            (None, Some(_)) => args.float(2)?,
            (None, None) => 0.0,
        };
        let mode = match mode.as_str() {
            "reflect" => PadMode::Reflect,
            "edge" => PadMode::Edge,
            "wrap" => PadMode::Wrap,
            _ => PadMode::Constant(value),
        };
        let y = Value::Floats(nd::pad(&x, &around[0], &around[1], mode)?);
        Ok(vec![if kind.is_float() { y } else { cast(args, &y, kind)? }])
    }))
}

fn pad_ints(args: &Args<'_>, x: &Ints, [before, after]: &[Vec<isize>; 2]) -> Result<Value> {
    let value = args.opt(2).map_or(Ok(0), |_| args.int(2))?;
    let mut array = x.wide().into_owned();
    for at in 0..x.shape().len() {
        let size = array.shape[at] as isize;
        // Negative ones take away.
        let (first, last) = ((-before[at]).max(0), size.saturating_add(after[at].min(0)));
        let kept = SliceAxis {
            axis: at,
            first: first.min(size) as usize,
            step: 1,
            count: (last - first).max(0) as usize,
        };
        if kept.first + kept.count > size as usize {
            return Err(wrong(1, "pads that leave something", format!("{before:?} and {after:?}")));
        }
        let kept = array.slice(&[kept])?;
        let filled = |size: isize| {
            let mut shape = kept.shape.clone();
            shape[at] = size.max(0) as usize;
            let data = vec![value; count(&shape)];
            nd::host::Array::new(shape, data)
        };
        let (front, back) = (filled(before[at])?, filled(after[at])?);
        array = nd::host::Array::concat(&[&front, &kept, &back], at)?;
    }
    Ok(Value::Ints(Ints::from_array(x.kind, array)?))
}
