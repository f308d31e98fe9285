//! An LSTM's step written out, for the cells that ONNX's operator does not have: with a projection, layer
//! normalisation, a clip of the cell, zoneout, or an input gate that follows the forget gate. `Scan` runs it.

use super::graph::{Attr, Kind, Part};
use super::recurrent::{Lane, LstmOptions, State};
use super::writer::Writer;
use crate::nn::LAYER_NORM_EPSILON;
use crate::{Coupling, GateActivation};

impl Writer<'_> {
    /// A direction over `x` `[T,B,I]`: its outputs `[T,B,P]` or, unless `sequences`, the last one `[B,P]`. The mask is
    /// `[T,B,1]`.
    pub(super) fn scan(
        &mut self,
        options: &LstmOptions,
        lane: &Lane,
        x: &str,
        mask: Option<&str>,
        sequences: bool,
    ) -> String {
        let part = self.input_part(options, lane, x);
        let size = options.projection.unwrap_or(options.hidden_size);
        let h = self.graph.zeros(x, 1, size);
        let c = match size == options.hidden_size {
            true => h.clone(),
            false => self.graph.zeros(x, 1, options.hidden_size),
        };
        let kinds =
            [("h", Kind::Float), ("c", Kind::Float), ("x", Kind::Float), ("counts", Kind::Bool)];
        let kinds = &kinds[..if mask.is_some() { 4 } else { 3 }];
        let (outer, names) = self.graph.begin_body(kinds);
        let before = vec![names[0].clone(), names[1].clone()];
        let mut after = self.cell(options, lane, &names[2], &before);
        let mut y = after[0].clone();
        if let Some(counts) = names.get(3) {
            let zero = self.graph.float(0.0);
            y = self.graph.node("Where", &[counts, &y, &zero], vec![]);
            for (after, before) in after.iter_mut().zip(&before) {
                *after = self.graph.node("Where", &[counts, after, before], vec![]);
            }
        } else if sequences {
            // A state and an output may not be one value.
            y = self.graph.node("Identity", &[&y], vec![]);
        }
        after.extend(sequences.then_some(y));
        let inputs = names.into_iter().zip(kinds.iter().map(|(_, kind)| *kind));
        let body = self.graph.end_body(outer, inputs, &after);
        let reverse = i64::from(lane.reverse);
        let scanned = kinds.len() - 2;
        let mut attrs = vec![
            ("num_scan_inputs", Attr::Int(scanned as i64)),
            ("scan_input_directions", Attr::Ints(vec![reverse; scanned])),
            ("body", Attr::Graph(body)),
        ];
        if sequences {
            attrs.push(("scan_output_directions", Attr::Ints(vec![reverse])));
        }
        let inputs = [&h, &c, &part, mask.unwrap_or_default()];
        // An output of Scan has a name even if nothing takes it.
        let found = self.graph.nodes("Scan", &inputs, &vec![true; after.len()], attrs);
        found[if sequences { 2 } else { 0 }].clone()
    }

    /// `W x + b` of a direction, of all steps at once; with layer normalisation `norm(W x) + b`.
    pub(super) fn input_part(&mut self, options: &LstmOptions, lane: &Lane, x: &str) -> String {
        let size = 4 * options.hidden_size;
        let weight = self.turned(&lane.weight_ih, [size, lane.inputs]);
        let part = self.graph.node("MatMul", &[x, &weight], vec![]);
        let bias = lane.bias.as_ref().map(|bias| self.whole(bias, &[size]));
        match (&lane.norms, bias) {
            (Some([gain, ..]), bias) => {
                let gain = self.whole(gain, &[size]);
                self.normalised(&part, &gain, &bias.unwrap_or_default())
            }
            (None, Some(bias)) => self.graph.node("Add", &[&part, &bias], vec![]),
            (None, None) => part,
        }
    }

    /// A parameter as it is.
    pub(super) fn whole(&mut self, name: &str, shape: &[usize]) -> String {
        self.graph.weight(name, shape, vec![Part::Whole(name.to_owned())])
    }

    /// A matrix of these sizes, its axes swapped: as a product takes it.
    pub(super) fn turned(&mut self, name: &str, [rows, columns]: [usize; 2]) -> String {
        let parts = vec![Part::Turned(name.to_owned(), columns)];
        self.graph.weight(name, &[columns, rows], parts)
    }

    fn normalised(&mut self, x: &str, gain: &str, bias: &str) -> String {
        let attrs = vec![("axis", Attr::Int(-1)), ("epsilon", Attr::Float(LAYER_NORM_EPSILON))];
        self.graph.node("LayerNormalization", &[x, gain, bias], attrs)
    }

    /// One step: from the input's part `[B,4H]` and h `[B,P]` and c `[B,H]` to those after it.
    pub(super) fn cell(
        &mut self,
        options: &LstmOptions,
        lane: &Lane,
        part: &str,
        before: &[String],
    ) -> State {
        let (h, cell) = (options.hidden_size, options.cell);
        let size = options.projection.unwrap_or(h);
        let (h_old, c_old) = (&before[0], &before[1]);
        let weight = self.turned(&lane.weight_hh, [4 * h, size]);
        let mut product = self.graph.node("MatMul", &[h_old, &weight], vec![]);
        if let Some([_, gain, ..]) = &lane.norms {
            let gain = self.whole(gain, &[4 * h]);
            product = self.normalised(&product, &gain, "");
        }
        let sums = self.graph.node("Add", &[part, &product], vec![]);
        let gates = self.split(&sums, h, 4);
        let looks = lane.peepholes.as_ref().map(|name| {
            let all = self.whole(name, &[3 * h]);
            self.split(&all, h, 3)
        });
        // A gate's sum, with what it sees of the cell.
        let gate = |all: &mut Self, number: usize, look: usize, c: &str| {
            let mut sum = gates[number].clone();
            if let Some(looks) = &looks {
                let seen = all.graph.node("Mul", &[&looks[look], c], vec![]);
                sum = all.graph.node("Add", &[&sum, &seen], vec![]);
            }
            let sum = all.clipped(&sum, cell.clip);
            all.activated(&sum, cell.recurrent)
        };
        let (i, f) = match cell.coupling {
            Coupling::None => (gate(self, 0, 0, c_old), gate(self, 1, 1, c_old)),
            Coupling::InputFollowsForget => {
                let f = gate(self, 1, 1, c_old);
                (self.rest(&f), f)
            }
            Coupling::ForgetFollowsInput => {
                let i = gate(self, 0, 0, c_old);
                let f = self.rest(&i);
                (i, f)
            }
        };
        let g = self.clipped(&gates[2], cell.clip);
        let g = self.activated(&g, cell.input);
        let kept = self.graph.node("Mul", &[&f, c_old], vec![]);
        let new = self.graph.node("Mul", &[&i, &g], vec![]);
        let c = self.graph.node("Add", &[&kept, &new], vec![]);
        let c = self.clipped(&c, cell.cell_clip);
        let o = gate(self, 3, 2, &c);
        let shown = match &lane.norms {
            Some([_, _, gain, bias]) => {
                let (gain, bias) = (self.whole(gain, &[h]), self.whole(bias, &[h]));
                self.normalised(&c, &gain, &bias)
            }
            None => c.clone(),
        };
        let shown = self.activated(&shown, cell.output);
        let mut y = self.graph.node("Mul", &[&o, &shown], vec![]);
        if let Some(name) = &lane.weight_hr {
            let weight = self.turned(name, [size, h]);
            y = self.graph.node("MatMul", &[&y, &weight], vec![]);
        }
        let [stay_h, stay_c] = cell.zoneout;
        vec![self.blend(&y, h_old, stay_h), self.blend(&c, c_old, stay_c)]
    }

    /// Equal parts of the last axis.
    fn split(&mut self, x: &str, size: usize, count: usize) -> Vec<String> {
        let sizes = self.graph.ints(&vec![size as i64; count]);
        let axis = vec![("axis", Attr::Int(-1))];
        self.graph.nodes("Split", &[x, &sizes], &vec![true; count], axis)
    }

    /// 1 - x.
    fn rest(&mut self, x: &str) -> String {
        let one = self.graph.float(1.0);
        self.graph.node("Sub", &[&one, x], vec![])
    }

    fn clipped(&mut self, x: &str, limit: Option<f32>) -> String {
        let Some(limit) = limit else { return x.to_owned() };
        let (least, most) = (self.graph.float(-limit), self.graph.float(limit));
        self.graph.node("Clip", &[x, &least, &most], vec![])
    }

    /// The new value where `stays` is 0, the old one where it is 1.
    fn blend(&mut self, new: &str, old: &str, stays: f32) -> String {
        if stays == 0.0 {
            return new.to_owned();
        }
        let (new, old) = (self.scaled(new, 1.0 - stays), self.scaled(old, stays));
        self.graph.node("Add", &[&new, &old], vec![])
    }

    pub(super) fn scaled(&mut self, x: &str, factor: f32) -> String {
        let factor = self.graph.float(factor);
        self.graph.node("Mul", &[x, &factor], vec![])
    }

    fn activated(&mut self, x: &str, activation: GateActivation) -> String {
        let alpha = |alpha| ("alpha", Attr::Float(alpha));
        let (op, attrs) = match activation {
            GateActivation::Sigmoid => ("Sigmoid", vec![]),
            GateActivation::Tanh => ("Tanh", vec![]),
            GateActivation::Relu => ("Relu", vec![]),
            GateActivation::Softsign => ("Softsign", vec![]),
            GateActivation::Softplus => ("Softplus", vec![]),
            GateActivation::HardSigmoid { alpha: slope, beta } => {
                ("HardSigmoid", vec![alpha(slope), ("beta", Attr::Float(beta))])
            }
            GateActivation::LeakyRelu { alpha: slope } => ("LeakyRelu", vec![alpha(slope)]),
            GateActivation::Elu { alpha: size } => ("Elu", vec![alpha(size)]),
            GateActivation::ThresholdedRelu { alpha: limit } => {
                ("ThresholdedRelu", vec![alpha(limit)])
            }
            GateActivation::Affine { alpha, beta } => {
                let (x, beta) = (self.scaled(x, alpha), self.graph.float(beta));
                return self.graph.node("Add", &[&x, &beta], vec![]);
            }
            GateActivation::ScaledTanh { alpha, beta } => {
                let x = self.scaled(x, beta);
                let y = self.graph.node("Tanh", &[&x], vec![]);
                return self.scaled(&y, alpha);
            }
        };
        self.graph.node(op, &[x], attrs)
    }
}
