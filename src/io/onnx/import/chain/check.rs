//! What a model computes, against the graph that it was made of.

use super::super::value::{Element, Ints, Value};
use super::super::{Axis, Model, TensorInfo};
use super::Label;
use crate::data::Sequences;
use crate::io::Source;
use crate::ops::nd::host::Array;
use crate::{Result, Sequential, Tensor};

/// How far two results may be apart, relative or, below 1, at all: both are sums of 32-bit floats.
const APART: f32 = 1e-3;

/// The values of an input that a graph is tried on, at most.
const MOST: usize = 1 << 24;

impl TensorInfo {
    /// Checks that an input of these sizes is one to try a graph on.
    pub(super) fn check_few(&self, source: &Source, sizes: &[usize]) -> Result<()> {
        let count = sizes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        match count.is_some_and(|count| count <= MOST) {
            true => Ok(()),
            false => Err(source.bad("the input", format!("at most {MOST} values"), self.text())),
        }
    }
}

impl Model {
    /// Runs both on numbers of other sizes than those that the graph was traced with: a size that is written into a
    /// graph and happens to be one of those, or a node that was taken for what it is not, gives other results.
    pub(super) fn check(
        &self,
        model: &Sequential,
        traced: &[usize],
        time: Option<Label>,
        outputs: &[(Label, usize)],
    ) -> Result<()> {
        let source = Source::memory(&self.name, Vec::new());
        let [input] = &self.inputs[..] else { return Ok(()) };
        let time = time.unwrap_or(Label::Second);
        let rows = if time == Label::First { 1 } else { 0 };
        // Rows, then time, then the rest, as a model has them.
        let place = |label: Label| match label {
            label if label == time => 1,
            Label::First | Label::Second => 0,
            _ => 2,
        };
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.sort_by_key(|&at| place(outputs[at].0));
        let first_of_rest = outputs.iter().position(|&(label, _)| place(label) == 2);
        if first_of_rest.is_some_and(|at| outputs[at..].iter().any(|&(label, _)| place(label) < 2))
        {
            return Err(source.bad("the output", "features as its last axis", "another order"));
        }
        for (batch, more) in [(3, 4), (2, 6)] {
            let mut sizes = traced.to_vec();
            for (at, size) in sizes.iter_mut().enumerate().take(2) {
                let fixed = input.shape.as_ref().and_then(|axes| axes.get(at));
                if !matches!(fixed, Some(Axis::Size(_))) {
                    *size = if at == rows { batch } else { *size + more };
                }
            }
            input.check_few(&source, &sizes)?;
            let (graph, rows_first) = self.numbers(model, &sizes, rows)?;
            let found = model.predict(&rows_first)?;
            let given = self.run(&[(&input.name, graph)]).map_err(|error| {
                source.bad("the graph", "one that takes any rows and timesteps", error.to_string())
            })?;
            let given = &given[0].1;
            let expected = Array::new(given.shape().to_vec(), given.to_f32()?)?;
            let no_chain = |found: String| {
                let expected = "that of a chain of layers, on numbers that were tried";
                source.bad("what the graph computes", expected, found)
            };
            if expected.shape.len() != order.len() {
                return Err(no_chain(format!("of the shape {:?}", expected.shape)));
            }
            let expected = expected.transpose(&order)?;
            let shape = format!("of the shape {:?}", expected.shape);
            if expected.data.len() != found.values().len() {
                return Err(no_chain(shape));
            }
            let far = |(a, b): (&f32, &f32)| {
                !((a - b).abs() <= APART * b.abs().max(1.0) || a.is_nan() && b.is_nan())
            };
            if found.values().iter().zip(&expected.data).any(far) {
                return Err(no_chain("something else".into()));
            }
        }
        Ok(())
    }

    /// Numbers of these sizes, for the graph and, with rows first, for the model.
    fn numbers(
        &self,
        model: &Sequential,
        sizes: &[usize],
        rows: usize,
    ) -> Result<(Value, Sequences)> {
        let kind = self.inputs[0].element.unwrap_or(Element::F32);
        let (batch, steps) = (sizes[rows], sizes[1 - rows]);
        let features = sizes.get(2).copied().unwrap_or(1);
        let noise =
            |i: usize| ((i as u32).wrapping_mul(2_654_435_769) >> 8) as f32 / (1 << 24) as f32;
        let count = batch * steps * features;
        let turned = |values: Vec<f32>| -> Result<Vec<f32>> {
            let all = Array::new(vec![batch, steps, features], values)?;
            Ok(if rows == 0 { all.data } else { all.transpose(&[1, 0, 2])?.data })
        };
        if sizes.len() == 3 {
            let values: Vec<f32> = (0..count).map(|i| 2.0 * noise(i) - 1.0).collect();
            let x = Sequences::from_array(&values, [batch, steps, features])?;
            let graph = Tensor::from_slice(&turned(values)?, sizes.to_vec(), &self.device)?;
            return Ok((Value::Floats(graph), x));
        }
        let table = model.params().names().first().map(|name| model.params().shape(name));
        let tokens = table.transpose()?.and_then(|shape| shape.first().copied()).unwrap_or(1);
        let tokens: Vec<f32> = (0..count).map(|i| (noise(i) * tokens as f32).floor()).collect();
        let x = tokens
            .chunks(steps)
            .map(|row| row.iter().map(|&token| token as u32).collect::<Vec<_>>());
        let x = Sequences::from_tokens(x)?;
        let values = turned(tokens)?.iter().map(|&token| token as i64).collect();
        Ok((Value::Ints(Ints::new(kind, sizes.to_vec(), values)?), x))
    }
}
