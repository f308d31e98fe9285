//! Small models with options drawn at random.

use wgpu_lstm::Result;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{
    AttentionPool, BatchNorm, Conv1d, Coupling, Flatten, GateActivation, Graph, Masking, Padding,
    Pool1d, Rnn, Spectrogram, TimeDistributed,
};
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
    pub masks: bool,
    /// Whether layers have windows over time, for which sequences have to be long.
    pub windows: bool,
    /// Whether all rows must have one length.
    pub alike: bool,
}

impl Model {
    /// Some sequences, of the same length or not.
    pub fn rows(&self, seed: u64, same: bool) -> Result<Sequences> {
        let mut random = Random::new(seed ^ 0x5eed);
        let [least, most] = if self.windows { [14, 18] } else { [1, 7] };
        let (rows, most) = (random.from(1, 4), random.from(least, most));
        let mut all = Vec::new();
        for row in 0..rows {
            let frames = if same || row == 0 { most } else { random.from(least, most) };
            let value = |_| match self.tokens {
                // Many are 0.
                Some(tokens) if random.once_in(2) => random.below(tokens) as f32,
                Some(_) => 0.0,
                None => 2.0 * random.float(),
            };
            let mut row: Vec<f32> = (0..frames * self.features).map(value).collect();
            if self.masks && self.tokens.is_none() {
                let frames = row.chunks_mut(self.features);
                frames.filter(|_| random.once_in(2)).for_each(|frame| frame.fill(0.25));
            }
            all.push(row);
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

/// An activation of any kind.
fn activation(r: &mut Random) -> Activation {
    let alpha = 0.3 + 0.2 * r.float();
    let beta = 0.5 + 0.2 * r.float();
    let all = [
        Activation::Linear,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Softmax,
        Activation::Elu { alpha },
        Activation::Selu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::HardSigmoid { alpha, beta },
        Activation::LeakyRelu { alpha },
        Activation::Exp,
        Activation::Relu6,
        Activation::HardSilu,
        Activation::Mish,
        Activation::ThresholdedRelu { alpha },
    ];
    all[r.below(all.len())]
}

/// A padding, with a stride and a dilation; whether rows must be alike for it.
fn padding(r: &mut Random, size: usize) -> (Padding, usize, usize, bool) {
    match r.below(6) {
        0 => (Padding::Valid, r.from(1, 3), 1, false),
        1 => (Padding::Explicit(r.below(size), r.below(size)), r.from(1, 3), 1, false),
        2 => (Padding::Same, 1, r.from(1, 2), false),
        3 => (Padding::Same, 2, 1, true),
        _ => (Padding::Causal, 1, r.from(1, 2), false),
    }
}

/// A convolution, and whether rows must be alike for it.
fn conv(r: &mut Random) -> (Conv1d, bool) {
    let size = r.from(1, 3);
    let (padding, stride, dilation, alike) = padding(r, size);
    let mut layer = Conv1d::new(r.from(2, 6), size).padding(padding).stride(stride);
    layer = layer.dilation(dilation).activation(activation(r));
    if r.once_in(4) {
        layer = layer.no_bias();
    }
    (layer, alike)
}

fn pool(r: &mut Random) -> (Pool1d, bool) {
    let size = r.from(1, 3);
    let mut layer = if r.once_in(2) { Pool1d::max(size) } else { Pool1d::average(size) };
    if r.once_in(2) {
        layer = layer.count_padding();
    }
    match r.once_in(4) {
        true => (layer, false),
        false => {
            let (padding, stride, _, alike) = padding(r, size);
            (layer.padding(padding).stride(stride), alike)
        }
    }
}

/// A layer with layers inside that keeps the timesteps.
fn graph(r: &mut Random) -> Graph {
    let wide = r.from(1, 5);
    let graph = Graph::new().layer("a", "input", Dense::new(wide).activation(activation(r))).layer(
        "b",
        "a",
        Lstm::new(wide).return_sequences(),
    );
    let graph = if r.once_in(2) {
        graph.add("both", &["a", "b"])
    } else {
        graph.multiply("both", &["a", "b", "a"])
    };
    graph.concat("all", &["both", "input", "a"])
}

pub fn model(seed: u64) -> Result<Model> {
    let r = &mut Random::new(seed);
    let mut model = Sequential::new(&Device::cpu()?).seed(seed);
    let (mut features, mut tokens, mut masks, mut windows) = (r.from(1, 5), None, false, false);
    let mut alike = false;
    match r.below(8) {
        0 => {
            masks = true;
            model = model.add(Masking::new(0.25));
        }
        1 => {
            (features, windows) = (1, true);
            let mut layer = Spectrogram::new(r.from(3, 6), r.from(1, 2));
            if r.once_in(2) {
                (layer, alike) = (layer.reflect(2, 1), true);
            }
            model = model.add(layer);
        }
        2 => {
            (features, windows) = (16, r.once_in(2));
            let hear = TimeDistributed::new()
                .channels(2)
                .add(Conv1d::new(3, 3).stride(2).activation(activation(r)));
            model = match r.below(3) {
                0 => model.add(hear.add(Flatten::new())),
                1 => model.add(hear.add(Lstm::new(3).bidirectional(merge(r)))),
                _ => model.add(hear.add(BatchNorm::new()).add(Pool::new(Pooling::Max))),
            };
        }
        3..=5 => {
            let count = r.from(2, 9);
            masks = !r.once_in(3);
            let mut layer = Embedding::new(count, r.from(1, 5));
            if masks {
                layer = layer.mask_zero();
            }
            (features, tokens, model) = (1, Some(count), model.add(layer));
        }
        _ => {}
    }
    for _ in 0..r.below(3) {
        model = match r.below(11) {
            0 => model.add(Dropout::new(0.5)),
            1 => model.add(LayerNorm::new().epsilon(1e-3)),
            2 => model.add(Dense::new(r.from(1, 6)).activation(activation(r))),
            3 => model.add(BatchNorm::new().eps(1e-3)),
            4 => model.add(activation(r)),
            5 => model.add(graph(r)),
            6 | 7 => {
                let (layer, same) = conv(r);
                (windows, alike) = (true, alike || same);
                model.add(layer)
            }
            8 if !windows => {
                let (layer, same) = pool(r);
                (windows, alike) = (true, alike || same);
                model.add(layer)
            }
            _ => recurrent(model, r, true),
        };
    }
    model = match r.below(7) {
        0 => recurrent(model, r, true),
        1 | 2 => recurrent(model, r, false),
        3 => {
            let pooling = [Pooling::Mean, Pooling::Max, Pooling::Last][r.below(3)];
            let model = if r.once_in(2) { recurrent(model, r, true) } else { model };
            model.add(Pool::new(pooling))
        }
        4 => model.add(AttentionPool::new()),
        5 => model,
        _ => {
            let model = recurrent(model, r, false).add(Repeat::new(r.from(1, 4)));
            match r.below(3) {
                0 => model.add(Flatten::new()).add(BatchNorm::new()),
                kind => recurrent(model, r, kind == 1),
            }
        }
    };
    if !r.once_in(4) || model.summary().lines().count() < 4 {
        let mut layer = Dense::new(r.from(2, 4)).activation(activation(r));
        if r.once_in(4) {
            layer = layer.no_bias();
        }
        model = model.add(layer);
    }
    model.build(features)?;
    for name in model.params().names() {
        // A variance is above 0.
        let first = if name.ends_with("running_var") { 1.0 } else { 0.0 };
        let values = model.params().get(&name)?;
        let values: Vec<_> = values.iter().map(|_| first + 0.8 * r.float()).collect();
        model.params().set(&name, &values)?;
    }
    let about = model.summary();
    Ok(Model { model, about, features, tokens, masks, windows, alike })
}
