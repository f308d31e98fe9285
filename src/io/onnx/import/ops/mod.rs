//! The operators: a file for each family. Each reads its attributes when the graph is loaded and gives the function
//! that runs.
//!
//! Source of all of them: the operator specifications of ONNX, <https://onnx.ai/onnx/operators/>, and for the domain
//! `com.microsoft` those of ONNX Runtime.

mod combine;
mod control;
mod convert;
mod elementwise;
mod index;
mod norm;
mod quantized;
mod recurrent;
mod reduce;
mod scatter;
mod shape;
mod window;

pub(super) use recurrent::Common;
pub(super) use shape::reshaped;

use super::node::Node;
use super::plan::{Plan, Run};
use super::proto::ValueInfo;
use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// A graph within a node.
pub(super) struct Inner<'a> {
    /// The attribute's name.
    pub(super) name: &'a str,
    /// The number of its own inputs.
    pub(super) inputs: usize,
    /// Which of the node's inputs are what it takes from around it.
    pub(super) captured: Range<usize>,
    pub(super) plan: Arc<Plan>,
    /// What the file says of its outputs.
    pub(super) outputs: &'a [ValueInfo],
}

/// The function of a node.
///
/// # Errors
/// [`Error::File`] for an operator that is not there, and for attributes that make no sense.
pub(super) fn build(node: &Node<'_>, inner: &[Inner<'_>]) -> Result<Run> {
    let found = match node.proto.domain.as_str() {
        "" => standard(node, inner)?,
        "com.microsoft" => microsoft(node)?,
        _ => None,
    };
    found.ok_or_else(|| unknown(node))
}

fn unknown(node: &Node<'_>) -> Error {
    let domain = match node.proto.domain.as_str() {
        "" => "ai.onnx",
        domain => domain,
    };
    let found = format!("{:?} of {domain:?} in opset {}", node.proto.op, node.version);
    node.bad("an operator that this crate has", found)
}

fn standard(node: &Node<'_>, inner: &[Inner<'_>]) -> Result<Option<Run>> {
    let op = node.proto.op.as_str();
    if let Some(run) = elementwise::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = shape::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = combine::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = convert::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = index::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = scatter::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = reduce::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = norm::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = window::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = quantized::build(node, op)? {
        return Ok(Some(run));
    }
    if let Some(run) = recurrent::build(node, op)? {
        return Ok(Some(run));
    }
    control::build(node, op, inner)
}

fn microsoft(node: &Node<'_>) -> Result<Option<Run>> {
    let op = node.proto.op.as_str();
    if let Some(run) = elementwise::build_microsoft(node, op)? {
        return Ok(Some(run));
    }
    quantized::build_microsoft(node, op)
}

/// An axis, counted from the end if it is below 0.
fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_begin = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_begin).ok().filter(|&axis| axis < rank).ok_or_else(|| {
        super::plan::refused(
            "an axis",
            format!("from {} to {}", -(rank as i64), rank as i64 - 1),
            axis,
        )
    })
}

/// The most axes that a value may have.
const MOST_AXES: usize = 64;

/// That a value may have so many axes.
fn check_rank(rank: usize) -> Result<()> {
    match rank <= MOST_AXES {
        true => Ok(()),
        false => Err(super::plan::refused("a shape", format!("of at most {MOST_AXES} axes"), rank)),
    }
}

/// Axes, each of them once, in their order.
fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut axes = list.iter().map(|&one| axis(one, rank)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    match axes.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(super::plan::refused("axes", "each of them once", format!("{list:?}"))),
        false => Ok(axes),
    }
}

/// The lengths of rows: an input of a node.
fn lengths(at: usize, list: &[i64]) -> Result<Vec<usize>> {
    let lengths: Option<Vec<_>> = list.iter().map(|&length| usize::try_from(length).ok()).collect();
    lengths.ok_or_else(|| super::plan::wrong(at, "lengths of at least 0", format!("{list:?}")))
}

/// Sizes of axes.
fn sizes(list: &[i64]) -> Result<Vec<usize>> {
    let wrong = || super::plan::refused("sizes", "of at least 0", format!("{list:?}"));
    let sizes: Option<Vec<_>> = list.iter().map(|&size| usize::try_from(size).ok()).collect();
    sizes
        .filter(|sizes| {
            sizes.contains(&0) || crate::tensor::count(sizes) < isize::MAX as usize / 16
        })
        .ok_or_else(wrong)
}
