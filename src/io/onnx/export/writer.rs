//! What all layers write by: the graph, the parameters of a layer, and the states of a step model.

use super::graph::{Axis, Graph, Kind};
use crate::train::Sequential;
use crate::{Error, Result};
use serde::de::IgnoredAny;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// An option that does not change what a layer computes outside of training.
pub(super) type Any = IgnoredAny;

/// A state that a step model takes and gives.
pub(super) struct State {
    /// `h_0`.
    pub(super) name: String,
    /// The name of the layer.
    pub(super) layer: String,
    pub(super) size: usize,
    /// The value after the step.
    pub(super) after: String,
}

/// A model on its way to a graph.
pub(super) struct Writer<'a> {
    pub(super) graph: Graph,
    /// Whether it takes one frame and states.
    pub(super) step: bool,
    pub(super) states: Vec<State>,
    /// How the timesteps before the first `Flatten` that takes another number of them compare with that; open ones are
    /// fewer.
    pub(super) unfit: Option<Ordering>,
    recurrences: usize,
    /// The parameters of the layer that are not taken yet.
    pub(super) parameters: std::vec::IntoIter<String>,
    /// Values that are made once: what, and of which value.
    pub(super) made: BTreeMap<(&'static str, String), String>,
    pub(super) model: &'a Sequential,
}

/// The rows of a batch.
pub(super) const BATCH: Axis = Axis::Named("batch");

/// The timesteps of the input.
pub(super) const TIME: Axis = Axis::Named("time");

impl<'a> Writer<'a> {
    pub(super) fn new(model: &'a Sequential, opset: u32, step: bool) -> Self {
        Self {
            graph: Graph::new(model.params(), opset),
            step,
            states: Vec::new(),
            unfit: None,
            recurrences: 0,
            parameters: Vec::new().into_iter(),
            made: BTreeMap::new(),
            model,
        }
    }

    pub(super) fn strange(&self, what: String) -> Error {
        Error::custom(format!(
            "io::onnx::Export: the layer {} is not understood: {what}",
            self.graph.scope
        ))
    }

    /// The layer's next parameter, in the order of its build.
    pub(super) fn parameter(&mut self) -> Result<String> {
        let next = self.parameters.next();
        next.ok_or_else(|| self.strange("it has fewer parameters than its options say".into()))
    }

    /// The state of the next layer that has one, before the step: its parts, and their sizes.
    pub(super) fn begin_state(&mut self, parts: &[(&str, usize)]) -> Vec<String> {
        let number = self.recurrences;
        self.recurrences += 1;
        let mut all = Vec::new();
        for &(part, size) in parts {
            let (name, layer) = (format!("{part}_{number}"), self.graph.scope.clone());
            let axes = [BATCH, Axis::Size(size)];
            all.push(self.graph.input(&format!("{name}_in"), Kind::Float, &axes));
            self.states.push(State { name, layer, size, after: String::new() });
        }
        all
    }

    /// That state after the step.
    pub(super) fn end_state(&mut self, after: Vec<String>) {
        let first = self.states.len() - after.len();
        self.states[first..].iter_mut().zip(after).for_each(|(state, after)| state.after = after);
    }

    /// That a layer needs all frames at once.
    pub(super) fn whole_sequence(&self, with: &'static str) -> Result<()> {
        let (what, help) = ("Export::stateful_step", "it takes all frames of a sequence at once");
        match self.step {
            true => Err(Error::Unsupported { what, with, help }),
            false => Ok(()),
        }
    }
}
