//! A graph that becomes a plan of its own: its names, and how long its constants are needed.

use super::plan::{Ref, Step};
use super::value::Value;
use std::collections::HashMap;

/// A graph that becomes a plan of its own.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) slots: usize,
    pub(super) constants: Vec<Value>,
    /// Of each constant, the names that it has and the nodes of the plan that read it: of none it is let go.
    holders: Vec<usize>,
    pub(super) steps: Vec<Step>,
    /// The names of the graph, and of those that lie within it and became a part of the plan.
    pub(super) scopes: Vec<HashMap<String, Ref>>,
    /// The values of the graph around that are inputs of this one, after its own.
    pub(super) captured: Vec<Ref>,
    /// The slots of all inputs.
    pub(super) inputs: Vec<usize>,
}

impl Frame {
    pub(super) fn new() -> Self {
        Self { scopes: vec![HashMap::new()], ..Self::default() }
    }

    pub(super) fn constant(&mut self, value: Value) -> Ref {
        self.constants.push(value);
        self.holders.push(0);
        Ref::Constant(self.constants.len() - 1)
    }

    pub(super) fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    pub(super) fn input(&mut self) -> Ref {
        let slot = self.slot();
        self.inputs.push(slot);
        Ref::Slot(slot)
    }

    pub(super) fn find(&self, name: &str) -> Option<Ref> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    /// Gives a value a name in the innermost scope, or in that of the whole graph.
    pub(super) fn bind(&mut self, name: &str, value: Ref, whole: bool) {
        let scope = if whole { self.scopes.first_mut() } else { self.scopes.last_mut() };
        let Some(scope) = scope else { return };
        let old = scope.insert(name.into(), value);
        self.hold(value);
        old.into_iter().for_each(|old| self.release(old));
    }

    /// Says that a value is needed until the plan runs.
    pub(super) fn hold(&mut self, value: Ref) {
        if let Ref::Constant(at) = value {
            self.holders[at] += 1;
        }
    }

    fn release(&mut self, value: Ref) {
        if let Ref::Constant(at) = value {
            self.holders[at] = self.holders[at].saturating_sub(1);
            if self.holders[at] == 0 {
                self.constants[at] = Value::nothing();
            }
        }
    }

    /// Forgets a name of the innermost scope, which no further node needs.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(value) = self.scopes.last_mut().and_then(|scope| scope.remove(name)) {
            self.release(value);
        }
    }
}
