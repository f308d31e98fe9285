//! A plan for inputs of some shapes: while the graph runs on them, what depends on nothing but shapes becomes
//! constant, and the branches that such conditions choose become a part of the plan.

use super::plan::{Args, Plan, Ref, Step};
use super::proto::{Attribute, NodeProto};
use super::value::Value;
use crate::{Device, Result};
use std::sync::Arc;

/// The most numbers of a value that is kept.
const LARGEST: usize = 1 << 16;

/// A value, and what of it depends on the shapes of the inputs alone.
#[derive(Clone)]
struct Known {
    value: Value,
    /// Its place in the new plan.
    at: Ref,
    /// Whether its shape does.
    sized: bool,
    /// Whether it does itself.
    fixed: bool,
    /// Of what it is put together, and along which axis. Parts have none themselves: what is put together in
    /// thousands of steps is not as deep.
    parts: Option<Arc<(usize, Vec<Known>)>>,
}

impl Known {
    fn constant(value: Value, at: Ref) -> Self {
        Self { value, at, sized: true, fixed: true, parts: None }
    }

    /// The size of the axis along which it is put together, in all and of one part.
    fn size_along(&self, value: &Value) -> Option<usize> {
        value.shape().get(self.parts.as_deref()?.0).copied()
    }

    /// The part that one index along an axis lies in, and the index in it: what PyTorch writes for the last layer's
    /// state of a stack.
    fn part(&self, axis: i64, index: i64) -> Option<(Self, i64)> {
        let (along, parts) = self.parts.as_deref()?;
        let shape = self.value.shape();
        let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
        let size = *shape.get(*along)? as i64;
        let mut index = if index < 0 { index + size } else { index };
        if axis != *along as i64 || index < 0 {
            return None;
        }
        for part in parts {
            let size = *part.value.shape().get(*along)? as i64;
            if index < size {
                return Some((part.clone(), index));
            }
            index -= size;
        }
        None
    }
}

struct Tracer<'a> {
    device: &'a Device,
    plan: Plan,
}

/// Runs a plan, and gives that for inputs of the same shapes.
pub(super) fn run(plan: &Plan, inputs: Vec<Value>, device: &Device) -> Result<(Vec<Value>, Plan)> {
    let new = Plan { slots: inputs.len(), inputs: (0..inputs.len()).collect(), ..Plan::default() };
    let mut tracer = Tracer { device, plan: new };
    let inputs = inputs.into_iter().enumerate();
    let known = |(slot, value)| Known {
        value,
        at: Ref::Slot(slot),
        sized: true,
        fixed: false,
        parts: None,
    };
    let outputs = tracer.run(plan, inputs.map(known).collect())?;
    let mut new = tracer.plan;
    new.outputs = outputs.iter().map(|output| output.at).collect();
    new.finish();
    Ok((outputs.into_iter().map(|output| output.value).collect(), new))
}

/// The inputs of an operator whose numbers are sizes or places, not only what is computed with.
fn sizes(op: &str) -> &'static [usize] {
    match op {
        "Reshape" | "Expand" | "Tile" | "Squeeze" | "Unsqueeze" | "Split" | "TopK" | "OneHot" => {
            &[1]
        }
        "Slice" => &[1, 2, 3, 4],
        "Pad" => &[1, 3],
        "ConstantOfShape" | "NonZero" => &[0],
        "Range" => &[0, 1, 2],
        op if op.starts_with("Reduce") => &[1],
        _ => &[],
    }
}

/// The axis of a `Slice` along one, where it begins and where it ends, by what is known of its inputs.
pub(super) fn slice(
    node: &NodeProto,
    known: impl Fn(usize) -> Option<Vec<i64>>,
) -> Option<[i64; 3]> {
    let list = |name: &str, at: usize| {
        let given = node.attributes.iter().find_map(|(other, value)| match value {
            Attribute::Ints(values) if other == name => Some(values.clone()),
            _ => None,
        });
        given.or_else(|| known(at))
    };
    // What is left out has a default; what only the run knows has none.
    let is_there = |at: usize| node.inputs.get(at).is_some_and(|name| !name.is_empty());
    let steps = if is_there(4) { known(4)? } else { vec![1] };
    let axes = if is_there(3) { known(3)? } else { list("axes", 3).unwrap_or(vec![0]) };
    match (&axes[..], &list("starts", 1)?[..], &list("ends", 2)?[..], &steps[..]) {
        (&[axis], &[start], &[end], &[1]) => Some([axis, start, end]),
        _ => None,
    }
}

impl Tracer<'_> {
    fn constant(&mut self, value: Value) -> Ref {
        self.plan.constants.push(value);
        Ref::Constant(self.plan.constants.len() - 1)
    }

    fn run(&mut self, plan: &Plan, inputs: Vec<Known>) -> Result<Vec<Known>> {
        let mut values: Vec<Option<Known>> = vec![None; plan.slots];
        for (&slot, input) in plan.inputs.iter().zip(inputs) {
            values[slot] = Some(input);
        }
        // Constants get a place when they are asked for.
        let mut places: Vec<Option<Known>> = vec![None; plan.constants.len()];
        for step in &plan.steps {
            let inputs = step
                .inputs
                .iter()
                .map(|input| input.and_then(|at| self.known(plan, &values, &mut places, at)));
            let inputs: Vec<_> = inputs.collect();
            let outputs = self.step(step, inputs).map_err(|error| error.at(&*step.label))?;
            for (slot, output) in step.outputs.iter().zip(outputs) {
                if let Some(slot) = slot {
                    values[*slot] = Some(output);
                }
            }
            for &slot in &step.last {
                values[slot] = None;
            }
        }
        let missing = || {
            super::plan::refused("an output of the graph", "that a node gives", "that none gives")
        };
        let outputs = plan.outputs.iter();
        outputs.map(|&at| self.known(plan, &values, &mut places, at).ok_or_else(missing)).collect()
    }

    fn known(
        &mut self,
        plan: &Plan,
        values: &[Option<Known>],
        places: &mut [Option<Known>],
        at: Ref,
    ) -> Option<Known> {
        match at {
            Ref::Slot(slot) => values.get(slot).cloned().flatten(),
            Ref::Constant(at) => {
                let value = plan.constants.get(at)?;
                if places[at].is_none() {
                    let at_new = self.constant(value.clone());
                    places[at] = Some(Known::constant(value.clone(), at_new));
                }
                places[at].clone()
            }
        }
    }

    fn step(&mut self, step: &Step, mut inputs: Vec<Option<Known>>) -> Result<Vec<Known>> {
        let op = step.proto.op.as_str();
        let along = step.proto.attributes.iter().find_map(|(name, value)| match value {
            Attribute::Int(axis) if name == "axis" => Some(*axis),
            _ => None,
        });
        if let ("Gather", [Some(data), Some(index)]) = (op, &inputs[..])
            && let (true, Value::Ints(ints)) = (index.fixed, &index.value)
            && let &[at] = &*ints.values()
            && let Some((part, at)) = data.part(along.unwrap_or(0), at)
        {
            let value = Value::Ints(ints.map(ints.kind, |_| at)?);
            let at = self.constant(value.clone());
            inputs = vec![Some(part), Some(Known::constant(value, at))];
        }
        if let ("Slice", Some(Some(data))) = (op, inputs.first()) {
            let list = |at: usize| match inputs.get(at)?.as_ref()? {
                Known { value: Value::Ints(ints), fixed: true, .. } => {
                    Some(ints.values().into_owned())
                }
                _ => None,
            };
            // One place: what ends at 0 from the last one on has none.
            let is_one = |start: i64, end: i64| match start {
                -1 => data.size_along(&data.value).is_some_and(|size| end >= size as i64),
                start => end == start.wrapping_add(1),
            };
            if let Some([axis, start, end]) = slice(&step.proto, list)
                && is_one(start, end)
                && let Some((part, 0)) = data.part(axis, start)
                && data.size_along(&part.value) == Some(1)
            {
                return Ok(vec![part]);
            }
        }
        if let (Some(branches), Some(Some(condition))) = (&step.branches, inputs.first())
            && condition.fixed
            && let Value::Ints(is) = &condition.value
            && let &[is] = &*is.values()
        {
            let branch = if is != 0 { &branches[0] } else { &branches[1] };
            let captured = inputs.get(branch.captured.clone()).unwrap_or_default();
            let captured = captured.iter().flatten().cloned().collect();
            return self.run(&branch.plan, captured);
        }
        let refs: Vec<_> =
            (0..inputs.len()).map(|at| inputs[at].is_some().then_some(Ref::Slot(at))).collect();
        let values: Vec<_> =
            inputs.iter().map(|input| input.as_ref().map(|known| known.value.clone())).collect();
        let args = Args {
            refs: &refs,
            values: &values,
            constants: &[],
            device: self.device,
            limit: super::plan::MOST,
        };
        let results = (step.run)(&args)?;
        let all = |f: fn(&Known) -> bool| inputs.iter().flatten().all(f);
        let is_shape = matches!(op, "Shape" | "Size");
        let fixed = if is_shape {
            all(|known| known.sized)
        } else {
            all(|known| known.fixed) && step.inner.is_empty()
        };
        let mut places = sizes(op).iter().filter_map(|&at| inputs.get(at)?.as_ref());
        let sized =
            step.inner.is_empty() && all(|known| known.sized) && places.all(|known| known.fixed);
        let mut outputs = Vec::with_capacity(results.len());
        if fixed && results.iter().all(|value| value.len() <= LARGEST) {
            for value in results {
                let at = self.constant(value.clone());
                outputs.push(Known::constant(value, at));
            }
            return Ok(outputs);
        }
        let parts = match (op, along, inputs.iter().flatten().next()) {
            ("Concat", Some(axis), Some(first)) => {
                let rank = first.value.shape().len() as i64;
                let axis =
                    usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or_default();
                let whole = |part: &Known| Known { parts: None, ..part.clone() };
                Some(Arc::new((axis, inputs.iter().flatten().map(whole).collect())))
            }
            _ => None,
        };
        let mut slots = Vec::with_capacity(step.outputs.len());
        for (value, output) in results.into_iter().zip(&step.outputs) {
            let slot = self.plan.slots;
            self.plan.slots += 1;
            slots.push(output.map(|_| slot));
            outputs.push(Known {
                value,
                at: Ref::Slot(slot),
                sized,
                fixed: false,
                parts: parts.clone(),
            });
        }
        self.plan.steps.push(Step {
            label: step.label.clone(),
            proto: step.proto.clone(),
            version: step.version,
            run: step.run.clone(),
            inputs: inputs.iter().map(|input| input.as_ref().map(|known| known.at)).collect(),
            outputs: slots,
            last: vec![],
            inner: step.inner.clone(),
            branches: None,
            weights: step.weights.clone(),
        });
        Ok(outputs)
    }
}
