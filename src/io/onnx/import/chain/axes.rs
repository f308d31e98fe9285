//! What moves or takes away axes.

use super::super::node::Node;
use super::super::trace;
use super::super::value::Value;
use super::{Chain, Label};
use crate::Result;
use crate::nn::{Embedding, Flatten, Pool, Pooling};

impl Chain<'_> {
    pub(super) fn label(&self, at: usize) -> Option<Label> {
        self.axes.get(at).map(|axis| axis.0)
    }

    /// Whether an axis is time, which it is from now on if nothing else was.
    pub(super) fn is_time(&mut self, at: usize) -> bool {
        let Some(label) = self.label(at) else { return false };
        matches!(label, Label::First | Label::Second) && *self.time.get_or_insert(label) == label
    }

    /// Whether the value is `[B,F,T]`.
    pub(super) fn is_channels_first(&mut self) -> bool {
        self.axes.len() == 3
            && self.label(1) == Some(Label::Features)
            && self.label(0) != Some(Label::One)
            && self.is_time(2)
    }

    /// Axes of one number that go, and directions that become features.
    pub(super) fn reshape(&mut self, node: &Node<'_>) -> Result<bool> {
        let (old, rank) = (self.axes.clone(), self.axes.len() as i64);
        let from: Vec<_> = old.iter().map(|axis| axis.1).collect();
        let place = |at: i64| (if at < 0 { at + rank } else { at }) as usize;
        let to: Vec<usize> = match node.proto.op.as_str() {
            "Squeeze" => {
                let list = match (node.ints("axes")?, node.constant(1)) {
                    (Some(list), _) => list.to_vec(),
                    (None, Some(Value::Ints(list))) => list.values().into_owned(),
                    _ => return Ok(false),
                };
                // Rows and timesteps stay, also where the file fixes one of them: another model has more.
                let gone: Vec<_> = list.into_iter().map(place).collect();
                let may_go = |&at: &usize| {
                    let found = old.get(at);
                    found.is_some_and(|a| matches!(a, (Label::One | Label::Directions, 1)))
                };
                if !gone.iter().all(may_go) {
                    return Ok(false);
                }
                let left = (0..old.len()).filter(|at| !gone.contains(at));
                self.axes = left.map(|at| old[at]).collect();
                return Ok(true);
            }
            "Flatten" => {
                let at = place(node.int("axis", 1)?).min(from.len());
                vec![from[..at].iter().product(), from[at..].iter().product()]
            }
            _ => {
                let list = match (node.ints("shape")?, node.constant(1)) {
                    (Some(list), _) => list.to_vec(),
                    (None, Some(Value::Ints(list))) => list.values().into_owned(),
                    _ => return Ok(false),
                };
                super::super::ops::reshaped(&from, &list, node.flag("allowzero", false)?)?
            }
        };
        // All timesteps side by side.
        if let (&[(rows, count), (time, steps), (Label::Features, features)], &[first, second]) =
            (&old[..], &to[..])
            && matches!(rows, Label::First | Label::Second)
            && (first, Some(second)) == (count, steps.checked_mul(features))
            && self.fixed.contains(&time)
            && self.is_time(1)
        {
            self.add(Flatten::new().timesteps(steps), vec![]);
            self.axes = vec![(rows, count), (Label::Features, second)];
            return Ok(true);
        }
        // Each new axis is an old one, or directions and features side by side.
        let mut left = old.into_iter().peekable();
        let mut axes = Vec::new();
        for size in to {
            let (label, first) = loop {
                match (left.next(), left.peek()) {
                    (Some((Label::Directions, n)), Some(&(Label::Features, features)))
                        if n * features == size =>
                    {
                        left.next();
                        break (Label::Features, size);
                    }
                    (Some((Label::Directions, 1)), _) => {}
                    (Some((Label::One, 1)), _) if size != 1 => {}
                    (Some(axis), _) => break axis,
                    (None, _) => return Ok(false),
                }
            };
            if first != size || label == Label::Directions {
                return Ok(false);
            }
            axes.push((label, size));
        }
        if left.any(|axis| axis.1 != 1 || !matches!(axis.0, Label::One | Label::Directions)) {
            return Ok(false);
        }
        self.axes = axes;
        Ok(true)
    }

    pub(super) fn gather(&mut self, node: &Node<'_>, place: usize) -> Result<bool> {
        let at = node.int("axis", 0)?;
        if place == 1 {
            let Some(Value::Floats(table)) = node.constant(0) else { return Ok(false) };
            let &[tokens, size] = table.shape() else { return Ok(false) };
            if at != 0 || self.layers > 0 || self.axes.len() != 2 {
                return Ok(false);
            }
            self.add(Embedding::new(tokens, size), vec![table.to_vec()?]);
            self.axes.push((Label::Features, size));
            return Ok(true);
        }
        // The last timestep.
        let at = (if at < 0 { at + self.axes.len() as i64 } else { at }) as usize;
        let Some(Value::Ints(index)) = node.constant(1) else { return Ok(false) };
        let size = self.axes.get(at).map_or(0, |axis| axis.1) as i64;
        let is_last =
            index.shape().is_empty() && index.values().iter().all(|&i| i == -1 || i == size - 1);
        if self.label(at) == Some(Label::Directions) && size == 1 && index.shape().is_empty() {
            self.axes.remove(at);
            return Ok(true);
        }
        if self.axes.len() != 3 || !is_last || !self.is_time(at) {
            return Ok(false);
        }
        self.add(Pool::new(Pooling::Last), vec![]);
        self.axes.remove(at);
        Ok(true)
    }

    /// The last timestep, whose axis a `Squeeze` takes away.
    pub(super) fn slice(&mut self, node: &Node<'_>) -> Result<bool> {
        let list = |at: usize| match node.constant(at) {
            Some(Value::Ints(ints)) => Some(ints.values().into_owned()),
            _ => None,
        };
        let Some([at, start, end]) = trace::slice(node.proto, list) else { return Ok(false) };
        let at = (if at < 0 { at + self.axes.len() as i64 } else { at }) as usize;
        let size = self.axes.get(at).map_or(0, |axis| axis.1) as i64;
        let is_last = (start == -1 || start == size - 1) && end >= size;
        if self.axes.len() != 3 || !is_last || !self.is_time(at) {
            return Ok(false);
        }
        self.add(Pool::new(Pooling::Last), vec![]);
        self.axes[at] = (Label::One, 1);
        Ok(true)
    }

    pub(super) fn over_time(&mut self, node: &Node<'_>, mean: bool) -> Result<bool> {
        let list = match (node.ints("axes")?, node.constant(1)) {
            (Some(list), _) => list.to_vec(),
            (None, Some(Value::Ints(list))) => list.values().into_owned(),
            _ => return Ok(false),
        };
        let &[at] = &list[..] else { return Ok(false) };
        let at = (if at < 0 { at + self.axes.len() as i64 } else { at }) as usize;
        if self.axes.len() != 3 || !self.is_time(at) {
            return Ok(false);
        }
        self.add(Pool::new(if mean { Pooling::Mean } else { Pooling::Max }), vec![]);
        match node.flag("keepdims", true)? {
            true => self.axes[at] = (Label::One, 1),
            false => _ = self.axes.remove(at),
        }
        Ok(true)
    }
}
