//! LSTM and RNN as layers.

use super::super::node::Node;
use super::super::ops::Common;
use super::super::value::Value;
use super::{Chain, Label};
use crate::Result;
use crate::nn::{Lstm, Merge, Rnn};
use crate::ops::{Coupling, GateActivation, nd};

impl Chain<'_> {
    /// What both recurrent layers of so many units ask for: the options, and what is used of the outputs, all
    /// timesteps or the last states.
    pub(super) fn recurrent(
        &mut self,
        node: &Node<'_>,
        output: usize,
        default: &[&str],
        hidden: usize,
    ) -> Result<Option<(Common, bool)>> {
        let common = Common::of(node, default)?;
        let zero = |at: usize| -> Result<bool> {
            Ok(match node.constant(at) {
                Some(Value::Floats(state)) => state.to_vec()?.iter().all(|&v| v == 0.0),
                _ => !node.has_input(at),
            })
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
        let directions = common.directions.len();
        let (time, batch) = (self.axes[time], self.axes[batch]);
        let (d, h) = ((Label::Directions, directions), (Label::Features, hidden));
        self.axes = match (output, common.batch_first) {
            (0, false) => vec![time, d, batch, h],
            (0, true) => vec![batch, time, d, h],
            (_, false) => vec![d, batch, h],
            (_, true) => vec![batch, d, h],
        };
        Ok(Some((common, output == 0)))
    }

    pub(super) fn lstm(&mut self, node: &Node<'_>, output: usize) -> Result<bool> {
        let weights = node.weights.borrow().clone().unwrap_or_default();
        let Some(first) = weights.first() else { return Ok(false) };
        let hidden = first.weight_hh.shape()[0];
        let default = ["Sigmoid", "Tanh", "Tanh"];
        let Some((common, sequences)) = self.recurrent(node, output, &default, hidden)? else {
            return Ok(false);
        };
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
        if first.bias.is_none() {
            layer = layer.no_bias();
        }
        if first.peepholes.is_some() {
            layer = layer.peepholes();
        }
        let mut values = Vec::new();
        for weights in weights.iter() {
            // `[from,H,4]` to `[4,H,from]`: the gates i, f, g, o one after the other.
            for part in [&weights.weight_ih, &weights.weight_hh] {
                values.push(nd::transpose(part, &[2, 1, 0])?.to_vec()?);
            }
            if let Some(bias) = &weights.bias {
                values.push(nd::transpose(bias, &[1, 0])?.to_vec()?);
            }
            if let Some(peepholes) = &weights.peepholes {
                // Those of g are none.
                let mut all = nd::transpose(peepholes, &[1, 0])?.to_vec()?;
                all.drain(2 * hidden..3 * hidden);
                values.push(all);
            }
        }
        self.add(layer, values);
        Ok(true)
    }

    pub(super) fn rnn(&mut self, node: &Node<'_>, output: usize) -> Result<bool> {
        let (Some(Value::Floats(w)), Some(Value::Floats(r))) = (node.constant(1), node.constant(2))
        else {
            return Ok(false);
        };
        let Some(&hidden) = r.shape().last() else { return Ok(false) };
        let Some((common, sequences)) = self.recurrent(node, output, &["Tanh"], hidden)? else {
            return Ok(false);
        };
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
