//! What goes from layer to layer.

use super::node::{Mask, Node};
use crate::io::Source;
use crate::{Error, Result};

/// What goes from layer to layer, but for its features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flow {
    /// Whether it is `[B,T,F]`; else `[B,F]`.
    pub(super) sequence: bool,
    /// The mask that goes along.
    pub(super) mask: Option<Mask>,
    /// The timesteps, if the file says how many there are.
    pub(super) timesteps: Option<usize>,
}

impl Flow {
    pub(super) const ROWS: Self = Self { sequence: false, mask: None, timesteps: None };

    pub(super) fn rank(self) -> usize {
        if self.sequence { 3 } else { 2 }
    }
}

/// That two inputs of a join are not alike.
pub(super) fn same_flow(source: &Source, node: &Node, flows: &[Flow]) -> Result<Flow> {
    let bad = |found: &str| -> Error {
        let entry = format!("the inputs of the layer {:?} ({})", node.name, node.class);
        source.bad(entry, "alike", found)
    };
    let Some((first, others)) = flows.split_first() else { return Err(bad("none")) };
    let differ = |other: &Flow| other.sequence != first.sequence || other.mask != first.mask;
    match others.iter().any(differ) {
        true => Err(bad("of sequences and of rows, or with a mask and without, or with two")),
        false => Ok(*first),
    }
}
