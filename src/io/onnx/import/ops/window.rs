//! What slides along the axes behind batch and channels: convolutions and pools.

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::Value;
use crate::ops::nd::{self, PadMode, Reduce};
use crate::tensor::count;
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "Conv" => conv(node)?,
        "MaxPool" => {
            node.ignore(&["storage_order"]);
            if node.has_output(1) {
                return Err(node.bad("one output", "the places of the largest as an output"));
            }
            let window = Window::of(node)?;
            Arc::new(move |args| {
                let x = args.floats(0)?;
                let views = window.views(args, x, &window.kernel, f32::NEG_INFINITY)?;
                Ok(vec![Value::Floats(pooled(args, Reduce::Max, &views)?)])
            })
        }
        "AveragePool" => {
            let window = Window::of(node)?;
            let padding_counts = node.flag("count_include_pad", false)?;
            Arc::new(move |args| average(args, &window, padding_counts).map(|y| vec![y]))
        }
        "GlobalAveragePool" => global(Reduce::Mean),
        "GlobalMaxPool" => global(Reduce::Max),
        _ => return Ok(None),
    }))
}

fn global(kind: Reduce) -> Run {
    Arc::new(move |args| {
        let x = args.floats(0)?;
        let axes: Vec<_> = (2..x.shape().len()).collect();
        Ok(vec![Value::Floats(nd::reduce(kind, x, &axes, true)?)])
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Auto {
    Given,
    Valid,
    /// What is odd goes behind, or before.
    SameUpper,
    SameLower,
}

/// How something slides; lists that are empty are those of the default.
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<usize>,
    auto: Auto,
    ceil: bool,
}

/// A tensor as windows: `[N, C, outputs.., kernel..]`.
struct Views {
    x: Tensor,
    shape: Vec<usize>,
    strides: Vec<isize>,
    /// The number of axes that are slid along.
    axes: usize,
    /// Padding before each of them.
    before: Vec<usize>,
    /// What was padded last only because the number of windows is rounded up.
    sizes: Vec<usize>,
}

impl Window {
    fn of(node: &Node<'_>) -> Result<Self> {
        let list = |name: &str, least: i64| -> Result<Vec<usize>> {
            let list = node.ints(name)?.unwrap_or_default();
            match list.iter().all(|&v| (least..1 << 31).contains(&v)) {
                true => Ok(list.iter().map(|&v| v as usize).collect()),
                false => Err(node.bad(format!("{name} of at least {least}"), format!("{list:?}"))),
            }
        };
        let auto = match node.text("auto_pad", "NOTSET")? {
            "NOTSET" | "" => Auto::Given,
            "VALID" => Auto::Valid,
            "SAME_UPPER" => Auto::SameUpper,
            "SAME_LOWER" => Auto::SameLower,
            other => {
                return Err(node.bad("NOTSET, VALID, SAME_UPPER or SAME_LOWER as auto_pad", other));
            }
        };
        Ok(Self {
            kernel: list("kernel_shape", 1)?,
            strides: list("strides", 1)?,
            dilations: list("dilations", 1)?,
            pads: list("pads", 0)?,
            auto,
            ceil: node.flag("ceil_mode", false)?,
        })
    }

    fn views(&self, args: &Args<'_>, x: &Tensor, kernel: &[usize], padding: f32) -> Result<Views> {
        let shape = x.shape();
        let axes = kernel.len();
        if shape.len() != axes + 2 || axes == 0 {
            return Err(wrong(
                0,
                format!("[batch, channels] and {axes} axes more"),
                format!("{shape:?}"),
            ));
        }
        let fits = |list: &[usize], len: usize| list.is_empty() || list.len() == len;
        if !fits(&self.strides, axes) || !fits(&self.dilations, axes) || !fits(&self.pads, 2 * axes)
        {
            return Err(refused(
                "strides, dilations and pads",
                format!("for {axes} axes"),
                "for others",
            ));
        }
        let or = |list: &[usize], at: usize, default| list.get(at).copied().unwrap_or(default);
        let (mut before, mut after) = (vec![0isize; axes + 2], vec![0isize; axes + 2]);
        let (mut outputs, mut steps) = (Vec::new(), Vec::new());
        for (at, (&size, &kernel)) in shape[2..].iter().zip(kernel).enumerate() {
            let (stride, dilation) = (or(&self.strides, at, 1), or(&self.dilations, at, 1));
            let span = (kernel - 1).saturating_mul(dilation).saturating_add(1);
            let given = (or(&self.pads, at, 0), or(&self.pads, axes + at, 0));
            let (first, last, count) = match self.auto {
                Auto::SameUpper | Auto::SameLower => {
                    let count = size.div_ceil(stride);
                    let all = (count.saturating_sub(1).saturating_mul(stride))
                        .saturating_add(span)
                        .saturating_sub(size);
                    let first =
                        if self.auto == Auto::SameUpper { all / 2 } else { all.div_ceil(2) };
                    (first, all - first, count)
                }
                auto => {
                    let (first, last) = if auto == Auto::Given { given } else { (0, 0) };
                    let padded = size + first + last;
                    let Some(room) = padded.checked_sub(span) else {
                        return Err(wrong(
                            0,
                            format!("at least {span} along axis {}", at + 2),
                            padded,
                        ));
                    };
                    let mut count = room / stride + 1;
                    let mut last = last;
                    // A window more that begins within what there is, and not behind it.
                    let next = count.saturating_mul(stride);
                    if self.ceil && room % stride != 0 && next < size + first {
                        last += next.saturating_add(span) - padded;
                        count += 1;
                    }
                    (first, last, count)
                }
            };
            before[at + 2] = isize::try_from(first).unwrap_or(isize::MAX / 4);
            after[at + 2] = isize::try_from(last).unwrap_or(isize::MAX / 4);
            outputs.push(count);
            steps.push((stride, dilation));
        }
        let padded = shape.iter().zip(before.iter().zip(&after)).map(|(&size, (&first, &last))| {
            size.saturating_add(first as usize).saturating_add(last as usize)
        });
        args.room(&padded.collect::<Vec<_>>())?;
        let padded = match before.iter().chain(&after).all(|&pad| pad == 0) {
            true => x.clone(),
            false => nd::pad(x, &before, &after, PadMode::Constant(padding))?,
        };
        let inner: Vec<_> =
            (0..shape.len()).map(|at| count(&padded.shape()[at + 1..]) as isize).collect();
        let mut strides = inner[..2].to_vec();
        let times = |inner: &isize, step: usize| inner.saturating_mul(step as isize);
        strides.extend(inner[2..].iter().zip(&steps).map(|(inner, step)| times(inner, step.0)));
        strides.extend(inner[2..].iter().zip(&steps).map(|(inner, step)| times(inner, step.1)));
        let whole = [&shape[..2], &outputs[..], kernel].concat();
        let before = before[2..].iter().map(|&pad| pad as usize).collect();
        Ok(Views { x: padded, shape: whole, strides, axes, before, sizes: shape[2..].to_vec() })
    }
}

/// The numbers of windows that are copied at once.
const AT_ONCE: usize = 1 << 24;

/// Each window as one number. The windows overlap, so that all of them may be far more than the input: they are made for
/// a part of the outputs after another.
fn pooled(args: &Args<'_>, kind: Reduce, views: &Views) -> Result<Tensor> {
    let axes: Vec<_> = (views.axes + 2..views.shape.len()).collect();
    let mut shape = views.shape.clone();
    args.room(&shape[..views.axes + 2])?;
    let all = std::mem::replace(&mut shape[2], 1);
    let part = (AT_ONCE / count(&shape).max(1)).clamp(1, all.max(1));
    let mut parts = Vec::new();
    for first in (0..all.max(1)).step_by(part) {
        shape[2] = part.min(all - first);
        args.room(&shape)?;
        let offset = first * views.strides[2] as usize;
        let windows = nd::strided(&views.x, &shape, &views.strides, offset)?;
        parts.push(nd::reduce(kind, &windows, &axes, false)?);
    }
    match &parts[..] {
        [one] => Ok(one.clone()),
        parts => nd::concat(&parts.iter().collect::<Vec<_>>(), 2),
    }
}

fn average(args: &Args<'_>, window: &Window, padding_counts: bool) -> Result<Value> {
    let x = args.floats(0)?;
    let views = window.views(args, x, &window.kernel, 0.0)?;
    if x.is_empty() {
        let shape = &views.shape[..2 + views.axes];
        return Ok(Value::Floats(Tensor::zeros(shape, args.device)?));
    }
    let sums = pooled(args, Reduce::Sum, &views)?;
    let (outputs, kernel) = views.shape[2..].split_at(views.axes);
    // The number of terms of a window is the product of those along each axis.
    let mut factor: Option<Tensor> = None;
    for at in 0..views.axes {
        let stride = window.strides.get(at).copied().unwrap_or(1);
        let dilation = window.dilations.get(at).copied().unwrap_or(1);
        let after = match window.auto {
            Auto::Given => window.pads.get(views.axes + at).copied().unwrap_or(0),
            _ => usize::MAX / 2,
        };
        let (first, size) = (views.before[at], views.sizes[at]);
        // What rounding up has padded counts in no case.
        let range = if padding_counts {
            0..(first + size).saturating_add(after)
        } else {
            first..first + size
        };
        let terms = |output: usize| {
            let places = (0..kernel[at]).map(|k| output * stride + k * dilation);
            places.filter(|place| range.contains(place)).count()
        };
        let shares: Vec<_> = (0..outputs[at]).map(|output| 1.0 / terms(output) as f32).collect();
        let mut shape = vec![1; views.axes];
        shape[at] = outputs[at];
        let shares = Tensor::from_slice(&shares, shape, args.device)?;
        factor = Some(match factor {
            None => shares,
            Some(factor) => nd::binary(nd::Binary::Mul, &factor, &shares)?,
        });
    }
    Ok(Value::Floats(match factor {
        Some(factor) => nd::binary(nd::Binary::Mul, &sums, &factor)?,
        None => sums,
    }))
}

/// The weights `[M, C/groups, kernel..]` of each group as `[kernel C/groups, M/groups]`.
fn turned(weights: &Tensor, groups: usize) -> Result<Vec<Tensor>> {
    let (outputs, channels) = (weights.shape()[0], weights.shape()[1]);
    let taps = count(&weights.shape()[2..]);
    let parts = match groups {
        1 => vec![weights.clone()],
        _ => nd::split(weights, 0, &vec![outputs / groups; groups])?,
    };
    let turn = |part: &Tensor| {
        let part = part.reshape([outputs / groups, channels, taps])?;
        nd::transpose(&part, &[2, 1, 0])?.reshape([taps * channels, outputs / groups])
    };
    parts.iter().map(turn).collect()
}

fn conv(node: &Node<'_>) -> Result<Run> {
    let window = Window::of(node)?;
    let groups = node.int("group", 1)?;
    let groups = usize::try_from(groups).ok().filter(|&g| g > 0);
    let groups = groups.ok_or_else(|| node.bad("at least 1 as group", "less"))?;
    let fits = move |weights: &Tensor| {
        let shape = weights.shape();
        shape.len() > 2 && !weights.is_empty() && shape[0].is_multiple_of(groups)
    };
    // Turned once, if they do not change.
    let known = match node.constant(1) {
        Some(Value::Floats(weights)) if fits(weights) => Some(turned(weights, groups)?),
        _ => None,
    };
    Ok(Arc::new(move |args| {
        let (x, weights, bias) = (args.floats(0)?, args.floats(1)?, args.opt_floats(2)?);
        if !fits(weights) {
            return Err(wrong(
                1,
                format!("[M, C/{groups}, kernel..]"),
                format!("{:?}", weights.shape()),
            ));
        }
        let (shape, kernel) = (weights.shape(), &weights.shape()[2..]);
        if !window.kernel.is_empty() && window.kernel != kernel {
            return Err(wrong(
                1,
                format!("a kernel of {:?}", window.kernel),
                format!("{kernel:?}"),
            ));
        }
        let views = window.views(args, x, kernel, 0.0)?;
        let channels = shape[1];
        if views.shape[1] != channels.saturating_mul(groups) {
            let expected =
                format!("{} channels, {groups} times those of input 1", channels * groups);
            return Err(wrong(0, expected, views.shape[1]));
        }
        if bias.is_some_and(|bias| bias.shape() != [shape[0]]) {
            return Err(wrong(2, format!("[{}]", shape[0]), "another shape"));
        }
        let own;
        let matrices = match &known {
            Some(known) => known,
            None => {
                own = turned(weights, groups)?;
                &own
            }
        };
        // The channels last, so that what a window has of them lies together, and every window as a row.
        let (batch, inputs) = (views.shape[0], views.shape[1]);
        let (outputs, each) = (&views.shape[2..2 + views.axes], shape[0] / groups);
        let order: Vec<_> = [0].into_iter().chain(2..views.axes + 2).chain([1]).collect();
        let x = nd::transpose(&views.x, &order)?;
        let sizes = [&[batch], outputs, kernel, &[channels]].concat();
        let mut strides = vec![views.strides[0]];
        strides.extend(views.strides[2..].iter().map(|stride| stride * inputs as isize));
        strides.push(1);
        let rows = batch * count(outputs);
        args.room(&[rows, channels, count(kernel)])?;
        args.room(&[rows, shape[0]])?;
        let mut results = Vec::with_capacity(groups);
        let biases = match (bias, groups) {
            (None, _) => vec![],
            (Some(bias), 1) => vec![bias.clone()],
            (Some(bias), _) => nd::split(bias, 0, &vec![each; groups])?,
        };
        for (group, matrix) in matrices.iter().enumerate() {
            let windows = nd::strided(&x, &sizes, &strides, group * channels)?;
            let windows = windows.reshape([rows, channels * count(kernel)])?;
            results.push(nd::gemm(&windows, matrix, biases.get(group), 1.0, 1.0, [false; 2])?);
        }
        let refs: Vec<_> = results.iter().collect();
        let y = if groups == 1 { results[0].clone() } else { nd::concat(&refs, 1)? };
        // Back to the channels in front.
        let y = nd::transpose(&y.reshape([batch, count(outputs), shape[0]])?, &[0, 2, 1])?;
        Ok(vec![Value::Floats(y.reshape([&[batch, shape[0]], outputs].concat())?)])
    }))
}
