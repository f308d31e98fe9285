//! A graph ready to run: its nodes in order, each with a function, and when a value is let go.

use super::proto::NodeProto;
use super::value::{Ints, Value};
use crate::ops::lstm::Weights;
use crate::{Device, Error, Result, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What a node computes.
pub(super) type Run = Arc<dyn Fn(&Args<'_>) -> Result<Vec<Value>> + Send + Sync>;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ref {
    Constant(usize),
    Slot(usize),
}

/// A node.
pub(super) struct Step {
    /// For errors: the node's name and operator.
    pub(super) label: Arc<str>,
    /// The node without tensors and graphs, and the version of its operator.
    pub(super) proto: Arc<NodeProto>,
    pub(super) version: i64,
    pub(super) run: Run,
    pub(super) inputs: Vec<Option<Ref>>,
    pub(super) outputs: Vec<Option<usize>>,
    /// The slots that no node behind this one reads.
    pub(super) last: Vec<usize>,
    /// The graphs within, to be counted.
    pub(super) inner: Vec<Arc<Plan>>,
    /// Those of an `If`: if the condition is true, and if not.
    pub(super) branches: Option<[Branch; 2]>,
    /// Of an LSTM whose weights are constant: those of each direction, which it has in place of its inputs W, R, B
    /// and P.
    pub(super) weights: Option<Arc<Vec<Weights>>>,
}

/// A branch of an `If`.
#[derive(Clone)]
pub(super) struct Branch {
    pub(super) plan: Arc<Plan>,
    /// Which of the node's inputs are its own.
    pub(super) captured: Range<usize>,
}

/// A graph.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) slots: usize,
    /// The slots of its inputs, and then of the values that it takes from around it.
    pub(super) inputs: Vec<usize>,
    pub(super) constants: Vec<Value>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<Ref>,
}

/// The numbers that a node may make at run time.
pub(super) const MOST: usize = 1 << 28;

/// The inputs of a node that runs.
pub(super) struct Args<'a> {
    pub(super) refs: &'a [Option<Ref>],
    pub(super) values: &'a [Option<Value>],
    pub(super) constants: &'a [Value],
    pub(super) device: &'a Device,
    /// The numbers that one output may have.
    pub(super) limit: usize,
}

impl<'a> Args<'a> {
    /// The number of inputs, those included that are left out.
    pub(super) fn len(&self) -> usize {
        self.refs.len()
    }

    /// An input, if it is there.
    pub(super) fn opt(&self, at: usize) -> Option<&'a Value> {
        match self.refs.get(at).copied().flatten()? {
            Ref::Constant(at) => self.constants.get(at),
            Ref::Slot(at) => self.values.get(at).and_then(Option::as_ref),
        }
    }

    pub(super) fn get(&self, at: usize) -> Result<&'a Value> {
        self.opt(at).ok_or_else(|| wrong(at, "there", "left out"))
    }

    pub(super) fn floats(&self, at: usize) -> Result<&'a Tensor> {
        match self.get(at)? {
            Value::Floats(tensor) => Ok(tensor),
            Value::Ints(ints) => Err(wrong(at, "floats", ints.kind)),
        }
    }

    pub(super) fn opt_floats(&self, at: usize) -> Result<Option<&'a Tensor>> {
        self.opt(at).map(|_| self.floats(at)).transpose()
    }

    pub(super) fn ints(&self, at: usize) -> Result<&'a Ints> {
        match self.get(at)? {
            Value::Floats(_) => Err(wrong(at, "integers", "floats")),
            Value::Ints(ints) => Ok(ints),
        }
    }

    pub(super) fn opt_ints(&self, at: usize) -> Result<Option<&'a Ints>> {
        self.opt(at).map(|_| self.ints(at)).transpose()
    }

    /// A list of integers, such as axes.
    pub(super) fn list(&self, at: usize) -> Result<Cow<'a, [i64]>> {
        Ok(self.ints(at)?.values())
    }

    /// One integer.
    pub(super) fn int(&self, at: usize) -> Result<i64> {
        match &*self.list(at)? {
            &[value] => Ok(value),
            list => Err(wrong(at, "one integer", format!("{} of them", list.len()))),
        }
    }

    /// One float, on the host; of a GPU's it waits.
    pub(super) fn float(&self, at: usize) -> Result<f32> {
        match &*self.floats(at)?.to_vec()? {
            &[value] => Ok(value),
            list => Err(wrong(at, "one number", format!("{} of them", list.len()))),
        }
    }

    /// That a result of a shape may be made.
    pub(super) fn room(&self, shape: &[usize]) -> Result<()> {
        let count = crate::tensor::count(shape);
        if shape.contains(&0) || count <= self.limit {
            return Ok(());
        }
        let bytes = (count as u64).saturating_mul(4);
        Err(Error::TooLarge {
            what: "a node's output",
            bytes,
            limit: (self.limit as u64).saturating_mul(4),
        })
    }
}

/// The error of an input.
pub(super) fn wrong(at: usize, expected: impl ToString, found: impl ToString) -> Error {
    refused(&format!("input {at}"), expected, found)
}

/// The error of something that a node cannot take.
pub(super) fn refused(what: &str, expected: impl ToString, found: impl ToString) -> Error {
    let (expected, found) = (expected.to_string(), found.to_string());
    Error::Option {
        option: "a node of the graph",
        found: format!("given {what} {found}"),
        expected: format!("{what} {expected}"),
    }
}

impl Plan {
    /// Runs the graph. `inputs` are its own, and then those from around it.
    pub(super) fn run(
        &self,
        inputs: impl IntoIterator<Item = Value>,
        device: &Device,
    ) -> Result<Vec<Value>> {
        let mut values = vec![None; self.slots];
        for (&slot, input) in self.inputs.iter().zip(inputs) {
            values[slot] = Some(input);
        }
        for step in &self.steps {
            step.run(&mut values, &self.constants, device)
                .map_err(|error| error.at(&*step.label))?;
        }
        let output = |at: &Ref| match *at {
            Ref::Constant(at) => self.constants.get(at).cloned(),
            Ref::Slot(at) => values.get(at).cloned().flatten(),
        };
        let missing = || refused("an output of the graph", "that a node gives", "that none gives");
        self.outputs.iter().map(|at| output(at).ok_or_else(missing)).collect()
    }

    /// Counts the operators, those of graphs within it included.
    pub(super) fn count(&self, counts: &mut BTreeMap<String, usize>) {
        for step in &self.steps {
            *counts.entry(step.proto.op.clone()).or_default() += 1;
            step.inner.iter().for_each(|inner| inner.count(counts));
        }
    }

    /// Says when values are let go, and leaves out nodes that nothing needs.
    pub(super) fn finish(&mut self) {
        let mut needed = vec![false; self.slots];
        let need = |at: &Ref, needed: &mut Vec<bool>| match at {
            Ref::Slot(slot) => !std::mem::replace(&mut needed[*slot], true),
            Ref::Constant(_) => false,
        };
        let mut is_output = vec![false; self.slots];
        for at in &self.outputs {
            need(at, &mut needed);
            need(at, &mut is_output);
        }
        let mut kept = Vec::new();
        while let Some(mut step) = self.steps.pop() {
            if !step.outputs.iter().flatten().any(|&slot| needed[slot]) {
                continue;
            }
            step.outputs.iter_mut().for_each(|out| *out = out.filter(|&slot| needed[slot]));
            step.last.clear();
            for at in step.inputs.iter().flatten() {
                if need(at, &mut needed)
                    && let Ref::Slot(slot) = at
                {
                    step.last.push(*slot);
                }
            }
            kept.push(step);
        }
        kept.reverse();
        self.steps = kept;
    }
}

impl Step {
    fn run(
        &self,
        values: &mut [Option<Value>],
        constants: &[Value],
        device: &Device,
    ) -> Result<()> {
        let args = Args { refs: &self.inputs, values, constants, device, limit: MOST };
        let results = (self.run)(&args)?;
        let mut results = results.into_iter();
        for slot in &self.outputs {
            let result = results.next();
            if let Some(slot) = slot {
                let missing = || refused("an output", "that its operator has", "that it has not");
                values[*slot] = Some(result.ok_or_else(missing)?);
            }
        }
        for &slot in &self.last {
            values[slot] = None;
        }
        Ok(())
    }
}
