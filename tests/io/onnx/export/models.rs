//! Small models with options drawn at random.

use wgpu_lstm::Result;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{Coupling, GateActivation, Rnn};
use wgpu_lstm::prelude::*;

/// Numbers that follow from a seed: splitmix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `n`.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From `first` to `last`.
    fn from(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

pub struct Model {
    pub model: Sequential,
    /// The options, for a report.
    pub about: String,
    pub features: usize,
    pub tokens: Option<usize>,
    pub masks_zero: bool,
}

impl Model {
    /// Some sequences, of the same length or not.
    pub fn rows(&self, seed: u64, same: bool) -> Result<Sequences> {
        let mut random = Random::new(seed ^ 0x5eed);
        let (rows, most) = (random.from(1, 4), random.from(1, 7));
        let mut all = Vec::new();
        for row in 0..rows {
            let frames = if same || row == 0 { most } else { random.from(1, most) };
            let value = |_| match self.tokens {
                // Many are 0.
                Some(tokens) if random.once_in(2) => random.below(tokens) as f32,
                Some(_) => 0.0,
                None => 2.0 * random.float(),
            };
            all.push((0..frames * self.features).map(value).collect::<Vec<f32>>());
        }
        match self.tokens {
            Some(_) => Sequences::from_tokens(
                all.iter().map(|row| row.iter().map(|&t| t as u32).collect::<Vec<_>>()),
            ),
            None => Sequences::new(self.features, all),
        }
    }
}

fn gate_activation(r: &mut Random) -> GateActivation {
    let alpha = 0.3 + 0.2 * r.float();
    let beta = 0.5 + 0.2 * r.float();
    match r.below(11) {
        0 => GateActivation::Sigmoid,
        1 => GateActivation::Tanh,
        2 => GateActivation::Relu,
        3 => GateActivation::Affine { alpha, beta },
        4 => GateActivation::HardSigmoid { alpha, beta },
        5 => GateActivation::LeakyRelu { alpha },
        6 => GateActivation::ScaledTanh { alpha, beta },
        7 => GateActivation::Elu { alpha },
        8 => GateActivation::Softsign,
        9 => GateActivation::Softplus,
        _ => GateActivation::ThresholdedRelu { alpha },
    }
}

fn merge(r: &mut Random) -> Merge {
    [Merge::Concat, Merge::Sum, Merge::Mean, Merge::Product][r.below(4)]
}

fn lstm(r: &mut Random) -> Lstm {
    let hidden = r.from(2, 9);
    let mut layer = Lstm::new(hidden);
    if r.once_in(3) {
        layer = layer.num_layers(r.from(2, 3)).dropout(0.5);
    }
    match r.below(6) {
        0 => layer = layer.go_backwards(),
        1 | 2 => layer = layer.bidirectional(merge(r)),
        _ => {}
    }
    if r.once_in(4) {
        layer = layer.no_bias();
    }
    if r.once_in(3) {
        layer = layer.zero_output_for_mask();
    }
    if r.once_in(5) {
        return layer.layer_norm();
    }
    let projected = r.once_in(4);
    if projected {
        layer = layer.projection(r.from(1, hidden - 1));
    } else if r.once_in(5) {
        layer = layer.zoneout(0.3, 0.2);
    }
    if r.once_in(4) {
        layer = layer.peepholes();
    }
    match r.below(6) {
        0 => layer = layer.coupled(Coupling::InputFollowsForget),
        1 => layer = layer.coupled(Coupling::ForgetFollowsInput),
        _ => {}
    }
    if r.once_in(5) {
        layer = layer.clip(0.7);
    }
    if r.once_in(6) {
        layer = layer.cell_clip(0.6);
    }
    if r.once_in(3) {
        layer = layer.recurrent_activation(gate_activation(r));
    }
    if r.once_in(3) {
        layer = layer.activation(gate_activation(r));
    }
    if r.once_in(5) {
        layer = layer.output_activation(gate_activation(r));
    }
    layer
}

fn rnn(r: &mut Random) -> Rnn {
    let mut layer = Rnn::new(r.from(1, 8));
    if r.once_in(3) {
        layer = layer.num_layers(2);
    }
    match r.below(6) {
        0 => layer = layer.go_backwards(),
        1 | 2 => layer = layer.bidirectional(merge(r)),
        _ => {}
    }
    if r.once_in(4) {
        layer = layer.no_bias();
    }
    if r.once_in(3) {
        layer = layer.zero_output_for_mask();
    }
    if r.once_in(2) {
        layer = layer.activation(gate_activation(r));
    }
    layer
}

/// A recurrent layer of sequences, or of the last output.
fn recurrent(model: Sequential, r: &mut Random, sequences: bool) -> Sequential {
    match (r.once_in(4), sequences) {
        (true, true) => model.add(rnn(r).return_sequences()),
        (true, false) => model.add(rnn(r)),
        (false, true) => model.add(lstm(r).return_sequences()),
        (false, false) => model.add(lstm(r)),
    }
}

pub fn model(seed: u64) -> Result<Model> {
    let r = &mut Random::new(seed);
    let mut model = Sequential::new(&Device::cpu()?).seed(seed);
    let (mut features, mut tokens, mut masks_zero) = (r.from(1, 5), None, false);
    if r.once_in(2) {
        let count = r.from(2, 9);
        masks_zero = !r.once_in(3);
        let mut layer = Embedding::new(count, r.from(1, 5));
        if masks_zero {
            layer = layer.mask_zero();
        }
        (features, tokens, model) = (1, Some(count), model.add(layer));
    }
    for _ in 0..r.below(3) {
        model = match r.below(6) {
            0 => model.add(Dropout::new(0.5)),
            1 => model.add(LayerNorm::new().epsilon(1e-3)),
            2 => model.add(Dense::new(r.from(1, 6)).activation(Activation::Relu)),
            _ => recurrent(model, r, true),
        };
    }
    model = match r.below(5) {
        0 => recurrent(model, r, true),
        1 | 2 => recurrent(model, r, false),
        3 => {
            let pooling = [Pooling::Mean, Pooling::Max, Pooling::Last][r.below(3)];
            let model = if r.once_in(2) { recurrent(model, r, true) } else { model };
            model.add(Pool::new(pooling))
        }
        _ => {
            let model = recurrent(model, r, false).add(Repeat::new(r.from(1, 4)));
            let sequences = r.once_in(2);
            recurrent(model, r, sequences)
        }
    };
    if !r.once_in(4) {
        let units = r.from(2, 4);
        let all = [
            Activation::Linear,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Relu,
            Activation::Softmax,
        ];
        let mut layer = Dense::new(units).activation(all[r.below(all.len())]);
        if r.once_in(4) {
            layer = layer.no_bias();
        }
        model = model.add(layer);
    }
    model.build(features)?;
    for name in model.params().names() {
        let values: Vec<_> = model.params().get(&name)?.iter().map(|_| 0.8 * r.float()).collect();
        model.params().set(&name, &values)?;
    }
    let about = model.summary();
    Ok(Model { model, about, features, tokens, masks_zero })
}
