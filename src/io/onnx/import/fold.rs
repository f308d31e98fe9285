//! How much work a constant may be: a file of a few bytes may ask for any amount of it.

use super::plan::Args;
use super::proto::{Attribute, NodeProto};
use super::value::Value;
use crate::ops::nd;
use crate::tensor::count;

/// The numbers that constants may have beyond what the file holds.
const NUMBERS: usize = 1 << 22;
/// The numbers that nodes may read and write, and the terms of products that they may add, to make constants.
const STEPS: usize = 1 << 26;
/// Those that come with each byte of the file.
const STEPS_OF_A_BYTE: usize = 64;

/// What is left for further constants.
pub(super) struct Room {
    numbers: usize,
    steps: usize,
}

impl Room {
    /// That of a file of some bytes.
    pub(super) fn of(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            numbers: NUMBERS.saturating_add(bytes),
            steps: STEPS.saturating_add(bytes.saturating_mul(STEPS_OF_A_BYTE)),
        }
    }

    /// More of it, for numbers that lie in another file.
    pub(super) fn add(&mut self, numbers: usize) {
        self.numbers = self.numbers.saturating_add(numbers);
        self.steps = self.steps.saturating_add(numbers.saturating_mul(4 * STEPS_OF_A_BYTE));
    }

    /// The numbers that an output may have.
    pub(super) fn limit(&self) -> usize {
        self.numbers.min(self.steps)
    }

    /// Takes the steps of a node, if they are left.
    pub(super) fn take_steps(&mut self, steps: Option<usize>) -> bool {
        let left = steps.and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.unwrap_or(self.steps);
        left.is_some()
    }

    /// Takes the numbers of a node's outputs, if they are left.
    pub(super) fn take_numbers(&mut self, numbers: usize) -> bool {
        let left = self.numbers.checked_sub(numbers);
        self.numbers = left.unwrap_or(self.numbers);
        left.is_some() && self.take_steps(Some(numbers))
    }
}

/// About how many numbers a node reads and how many terms it adds, of which it writes no more numbers than fit; none
/// for what is left to the run: recurrences and windows, which no exporter writes over constants.
pub(super) fn steps(node: &NodeProto, args: &Args<'_>) -> Option<usize> {
    let len = |at: usize| args.opt(at).map_or(0, Value::len);
    let size = |at: usize, axis: usize| args.opt(at)?.shape().get(axis).copied();
    let rank = |at: usize| args.opt(at).map_or(0, |value| value.shape().len());
    let attribute = |name: &str| {
        node.attributes.iter().find_map(|(other, value)| match value {
            Attribute::Int(value) if other == name => Some(*value),
            _ => None,
        })
    };
    let reads = (0..args.len()).map(len).fold(1, usize::saturating_add);
    let product = |a: usize, b: usize, terms: Option<usize>| {
        (len(a) / terms.unwrap_or(1).max(1)).saturating_mul(len(b))
    };
    let more = match node.op.as_str() {
        "LSTM" | "GRU" | "RNN" | "DynamicQuantizeLSTM" | "Conv" | "MaxPool" | "AveragePool" => {
            return None;
        }
        "MatMul" | "MatMulInteger" => product(0, 1, size(0, rank(0).saturating_sub(1))),
        "QLinearMatMul" => product(0, 3, size(0, rank(0).saturating_sub(1))),
        "Gemm" => product(0, 1, size(0, usize::from(attribute("transA").unwrap_or(0) == 0))),
        // It sorts.
        "TopK" => reads.saturating_mul(32),
        // One after the other, each over all of the result.
        "Min" | "Max" | "Sum" | "Mean" => {
            let shapes: Vec<_> =
                (0..args.len()).filter_map(|at| Some(args.opt(at)?.shape())).collect();
            let shape = nd::broadcast("a node", &shapes).ok()?;
            count(&shape).saturating_mul(args.len())
        }
        // Row by row, also where a part has nothing in it.
        "Concat" => {
            let shape = args.opt(0)?.shape();
            let axis = attribute("axis").unwrap_or(1);
            let axis = if axis < 0 { axis.saturating_add(shape.len() as i64) } else { axis };
            let rows = shape.get(..usize::try_from(axis).ok()?)?;
            count(rows).saturating_mul(args.len())
        }
        _ => 0,
    };
    Some(reads.saturating_add(more))
}
