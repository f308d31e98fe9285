//! LSTM and RNN as layers.

use super::super::node::Node;
use super::super::ops::Common;
use super::super::value::Value;
use super::{Chain, Label};
use crate::nn::{Lstm, Merge, Rnn};
use crate::ops::{Coupling, GateActivation};
use crate::{Result, Tensor};

impl Chain<'_> {
    /// What both recurrent layers ask for: the options, the weights of all directions, and what is used of the
    /// outputs, all timesteps or the last states.
    pub(super) fn recurrent(
        &mut self,
        node: &Node<'_>,
        output: usize,
        default: &[&str],
    ) -> Result<Option<(Common, [Tensor; 2], bool)>> {
        let common = Common::of(node, default)?;
        let zero = |at: usize| -> Result<bool> {
            Ok(match node.constant(at) {
                Some(Value::Floats(state)) => state.to_vec()?.iter().all(|&v| v == 0.0),
                _ => !node.has_input(at),
            })
        };
        let (Some(Value::Floats(w)), Some(Value::Floats(r))) = (node.constant(1), node.constant(2))
        else {
            return Ok(None);
        };
        let time = usize::from(common.batch_first);
        let batch = 1 - time;
        let fits =
            self.axes.len() == 3 && self.label(2) == Some(Label::Features) && self.is_time(time);
        if !fits || node.has_input(4) || !zero(5)? || !zero(6)? || output > 1 {
            return Ok(None);
        }
        if common.activations.windows(2).any(|pair| pair[0] != pair[1]) {
            return Ok(None);
        }
        let (directions, hidden) =
            (common.directions.len(), r.shape().last().copied().unwrap_or_default());
        let (time, batch) = (self.axes[time], self.axes[batch]);
        let (d, h) = ((Label::Directions, directions), (Label::Features, hidden));
        self.axes = match (output, common.batch_first) {
            (0, false) => vec![time, d, batch, h],
            (0, true) => vec![batch, time, d, h],
            (_, false) => vec![d, batch, h],
            (_, true) => vec![batch, d, h],
        };
        Ok(Some((common, [w.clone(), r.clone()], output == 0)))
    }

    pub(super) fn lstm(&mut self, node: &Node<'_>, output: usize) -> Result<bool> {
        let Some((common, [w, r], sequences)) =
            self.recurrent(node, output, &["Sigmoid", "Tanh", "Tanh"])?
        else {
            return Ok(false);
        };
        let hidden = r.shape()[2];
        let mut layer = Lstm::new(hidden);
        if sequences {
            layer = layer.return_sequences();
        }
        layer = match common.directions[..] {
            [false] => layer,
            [true] => layer.go_backwards(),
            _ => layer.bidirectional(Merge::Concat),
        };
        if let Some(&[recurrent, input, output]) = common.activations.first().map(Vec::as_slice) {
            layer =
                layer.recurrent_activation(recurrent).activation(input).output_activation(output);
        }
        if let Some(clip) = common.clip {
            layer = layer.clip(clip);
        }
        if node.flag("input_forget", false)? {
            layer = layer.coupled(Coupling::ForgetFollowsInput);
        }
        let (w, r) = (w.to_vec()?, r.to_vec()?);
        let floats = |at: usize| match node.constant(at) {
            Some(Value::Floats(part)) => part.to_vec().map(Some),
            _ => Ok(None),
        };
        let (bias, peepholes) = (floats(3)?, floats(7)?);
        if bias.is_none() {
            layer = layer.no_bias();
        }
        if peepholes.is_some() {
            layer = layer.peepholes();
        }
        let mut values = Vec::new();
        for direction in 0..common.directions.len() {
            // From i, o, f, c to i, f, g, o.
            let turned = |all: &[f32]| {
                let part = all.len() / common.directions.len();
                let part = &all[direction * part..][..part];
                let block = part.len() / 4;
                [0, 2, 3, 1]
                    .iter()
                    .flat_map(|gate| part[gate * block..][..block].to_vec())
                    .collect::<Vec<_>>()
            };
            values.extend([turned(&w), turned(&r)]);
            if let Some(bias) = &bias {
                let part = &bias[direction * 8 * hidden..][..8 * hidden];
                let sums: Vec<_> =
                    (0..4 * hidden).map(|at| part[at] + part[4 * hidden + at]).collect();
                let order = [0, 2, 3, 1].iter();
                values.push(
                    order.flat_map(|gate| sums[gate * hidden..][..hidden].to_vec()).collect(),
                );
            }
            if let Some(peepholes) = &peepholes {
                // From i, o, f to i, f, o.
                let part = &peepholes[direction * 3 * hidden..][..3 * hidden];
                values.push(
                    [0, 2, 1]
                        .iter()
                        .flat_map(|gate| part[gate * hidden..][..hidden].to_vec())
                        .collect(),
                );
            }
        }
        self.add(layer, values);
        Ok(true)
    }

    pub(super) fn rnn(&mut self, node: &Node<'_>, output: usize) -> Result<bool> {
        let Some((common, [w, r], sequences)) = self.recurrent(node, output, &["Tanh"])? else {
            return Ok(false);
        };
        let hidden = r.shape()[2];
        let mut layer = Rnn::new(hidden);
        if sequences {
            layer = layer.return_sequences();
        }
        layer = match common.directions[..] {
            [false] => layer,
            [true] => layer.go_backwards(),
            _ => layer.bidirectional(Merge::Concat),
        };
        let activation = common.activations.first().and_then(|all| all.first().copied());
        layer = layer.activation(activation.unwrap_or(GateActivation::Tanh));
        if common.clip.is_some() {
            return Ok(false);
        }
        let bias = match node.constant(3) {
            Some(Value::Floats(bias)) => Some(bias.to_vec()?),
            _ => None,
        };
        if bias.is_none() {
            layer = layer.no_bias();
        }
        let (w, r, directions) = (w.to_vec()?, r.to_vec()?, common.directions.len());
        let mut values = Vec::new();
        for direction in 0..directions {
            for all in [&w, &r] {
                let part = all.len() / directions;
                values.push(all[direction * part..][..part].to_vec());
            }
            if let Some(bias) = &bias {
                let part = &bias[direction * 2 * hidden..][..2 * hidden];
                values.push((0..hidden).map(|at| part[at] + part[hidden + at]).collect());
            }
        }
        self.add(layer, values);
        Ok(true)
    }
}
