//! Layers with random options come back with all of them.

use super::{bits, common, place, sequences};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{
    Activation, ActivityPenalty, Coupling, Dense, Dropout, Embedding, GateActivation, Highway,
    Init, LayerNorm, Lstm, Merge, Pool, Pooling, Precision, Regularizer, Repeat, Rnn, Strategy,
};
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Device, Sequential};

/// A generator of choices (an LCG: Knuth's constants).
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number whose decimal digits are many.
    fn share(&mut self, most: f32) -> f32 {
        most * (1 + self.below(1000)) as f32 / 1001.0
    }
}

fn gate(c: &mut Choices) -> GateActivation {
    let (alpha, beta) = (c.share(0.9), c.share(0.9));
    c.of(&[
        GateActivation::Sigmoid,
        GateActivation::Tanh,
        GateActivation::Relu,
        GateActivation::Affine { alpha, beta },
        GateActivation::HardSigmoid { alpha, beta },
        GateActivation::LeakyRelu { alpha },
        GateActivation::ScaledTanh { alpha, beta },
        GateActivation::Elu { alpha },
        GateActivation::Softsign,
        GateActivation::Softplus,
        GateActivation::ThresholdedRelu { alpha },
    ])
}

fn penalty(c: &mut Choices) -> Regularizer {
    Regularizer::l1_l2(c.share(0.01), c.share(0.01))
}

/// All options of an LSTM, each now and then. Some do not go together: the build then refuses.
fn lstm(c: &mut Choices) -> Lstm {
    let mut l = Lstm::new(c.of(&[2, 3, 8]));
    macro_rules! sometimes {
        ($n:literal, $method:ident($($argument:expr),*)) => {
            if c.one_in($n) {
                l = l.$method($($argument),*);
            }
        };
    }
    sometimes!(3, num_layers(2));
    sometimes!(4, zero_output_for_mask());
    sometimes!(2, bidirectional(c.of(&[Merge::Concat, Merge::Sum, Merge::Mean, Merge::Product])));
    sometimes!(4, go_backwards());
    sometimes!(4, no_bias());
    sometimes!(4, forget_bias(c.share(2.0)));
    sometimes!(4, kernel_init(Init::HeNormal));
    sometimes!(4, recurrent_init(Init::Orthogonal { gain: c.share(2.0) }));
    sometimes!(6, bias_init(Init::Uniform { limit: c.share(1.0) }));
    sometimes!(6, chrono_init(9));
    sometimes!(4, projection(1));
    sometimes!(6, layer_norm());
    sometimes!(4, peepholes());
    sometimes!(4, coupled(c.of(&[Coupling::InputFollowsForget, Coupling::ForgetFollowsInput])));
    sometimes!(4, recurrent_activation(gate(c)));
    sometimes!(4, activation(gate(c)));
    sometimes!(4, output_activation(gate(c)));
    sometimes!(4, clip(c.share(1.0)));
    sometimes!(4, cell_clip(c.share(1.0)));
    sometimes!(4, dropout(c.share(0.5)));
    sometimes!(4, input_dropout(c.share(0.5)));
    sometimes!(4, recurrent_dropout(c.share(0.5)));
    sometimes!(4, weight_drop(c.share(0.5)));
    sometimes!(4, zoneout(c.share(0.5), c.share(0.5)));
    sometimes!(4, kernel_regularizer(penalty(c)));
    sometimes!(4, recurrent_regularizer(penalty(c)));
    sometimes!(4, bias_regularizer(penalty(c)));
    sometimes!(4, activity_regularizer(penalty(c)));
    sometimes!(4, kernel_max_norm(c.share(1.0)));
    sometimes!(4, recurrent_max_norm(c.share(1.0)));
    sometimes!(4, stateful());
    sometimes!(4, strategy(c.of(&[Strategy::Sequence, Strategy::Stepwise])));
    sometimes!(4, recompute());
    sometimes!(6, frozen());
    l
}

/// The forms of a plain recurrent layer.
fn rnn_form(rnn: Rnn, c: &mut Choices) -> Rnn {
    match c.below(5) {
        0 => rnn.num_layers(2).bidirectional(Merge::Mean),
        1 => rnn.go_backwards().no_bias(),
        2 => rnn.zero_output_for_mask(),
        _ => rnn,
    }
}

fn dense(c: &mut Choices) -> Dense {
    let all = [Activation::Linear, Activation::Sigmoid, Activation::Tanh, Activation::Relu];
    let mut d = Dense::new(c.of(&[1, 3, 17])).activation(c.of(&all));
    if c.one_in(3) {
        d = Dense::new(4).activation(Activation::Softmax);
    }
    if c.one_in(3) {
        d = d.kernel_regularizer(penalty(c)).bias_regularizer(penalty(c));
    }
    if c.one_in(3) {
        d = d.kernel_init(Init::PyTorch).bias_init(Init::Normal { std: c.share(0.1) });
    } else if c.one_in(3) {
        d = d.no_bias();
    }
    if c.one_in(3) {
        d = d.activity_regularizer(penalty(c)).kernel_max_norm(c.share(1.0));
    }
    d
}

/// A model that may be none: whoever builds it sees.
fn model(c: &mut Choices, device: &Device) -> (Sequential, Sequences) {
    let mut model = Sequential::new(device).seed(c.below(1000) as u64);
    let mut x = sequences(3);
    if c.one_in(3) {
        x = Sequences::from_tokens((1..7).map(|n| (0..n).map(|i| (i * n) % 7).collect::<Vec<_>>()))
            .unwrap();
        let mut e = Embedding::new(7, 4);
        if c.one_in(2) {
            e = e.sparse();
        }
        if c.one_in(2) {
            e = e.padding_index(c.below(7));
        }
        if c.one_in(3) {
            e = e.mask_zero();
        }
        if c.one_in(3) {
            e = e.init(Init::Constant(0.5));
        }
        if c.one_in(3) {
            e = e.frozen();
        } else if c.one_in(2) {
            e = e.dropout(c.share(0.5));
        }
        if c.one_in(3) {
            e = e.vectors((0..28).map(|i| i as f32 / 28.0).collect::<Vec<_>>());
        }
        model = model.add(e);
    }
    for _ in 0..1 + c.below(3) {
        model = match c.below(8) {
            0 | 1 => model.add(lstm(c).return_sequences()),
            2 => {
                let rnn = Rnn::new(3).activation(gate(c)).recurrent_init(Init::GlorotNormal);
                model.add(rnn_form(rnn, c).return_sequences())
            }
            3 => model.add(LayerNorm::new().epsilon(c.share(0.1))),
            4 if c.one_in(2) => model.add(Dropout::new(c.share(0.5)).features()),
            4 => model.add(Dropout::new(c.share(0.5))),
            5 => model.add(ActivityPenalty::new().size(c.share(0.5)).change(c.share(0.5))),
            6 => model.add(Highway::new(lstm(c).return_sequences()).gate_bias(-c.share(2.0))),
            _ => model.add(dense(c)),
        };
    }
    let end = c.below(4);
    model = match end {
        0 => model.add(lstm(c)),
        1 => model.add(Rnn::new(4)),
        2 => model.add(Pool::new(c.of(&[Pooling::Mean, Pooling::Max, Pooling::Last]))),
        _ => model,
    };
    if c.one_in(3) {
        if end == 3 {
            model = model.add(Pool::new(Pooling::Max));
        }
        model = model.add(Repeat::new(3)).add(lstm(c).return_sequences());
    }
    (model.add(dense(c)), x)
}

/// A step of training, which sees the options that predictions do not.
fn train(model: &mut Sequential, x: &Sequences, targets: &[f32], width: usize) -> Vec<u32> {
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    let y = Targets::values(targets.to_vec(), width);
    let fit = Fit::new().epochs(1).batch_size(x.len()).shuffle(false).quiet();
    // A loss that is no number is the same error for both.
    if let Err(error) = model.fit(x, &y, fit) {
        return error.to_string().bytes().map(u32::from).collect();
    }
    let params = model.params();
    let values = params.names().into_iter().flat_map(|name| params.get(&name).unwrap());
    values.map(f32::to_bits).collect()
}

fn round_trips(device: &Device, wanted: usize, seed: u64) {
    let (_folder, path) = place(&format!("options-{seed}"));
    let again = path.with_extension("again");
    let (mut c, mut done, mut tried) = (Choices(seed), 0, 0);
    while done < wanted {
        tried += 1;
        assert!(tried < 40 * wanted, "{done} of {tried} models could be built");
        let (mut model, x) = model(&mut c, device);
        if model.build(x.features()).is_err() {
            continue;
        }
        if c.one_in(4) {
            model.params().set_precision(Precision::Mixed);
        }
        if c.one_in(4) {
            model.freeze(..1).unwrap();
        } else if c.one_in(4) {
            model.unfreeze(..).unwrap();
        }
        let case = format!("{done} on {device}:\n{}", model.summary());
        let before = bits(&model, &x);
        model.save(&path).unwrap();
        let mut loaded = Sequential::load(&path, device).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(loaded.summary(), model.summary());
        assert_eq!(loaded.params().names(), model.params().names(), "{case}");
        assert_eq!(loaded.params().precision(), model.params().precision(), "{case}");
        assert_eq!(bits(&loaded, &x), before, "{case}");
        loaded.save(&again).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap(), "{case}");
        model.reset_state();
        let width = model.predict(&x).unwrap().row(0).len();
        model.reset_state();
        let targets: Vec<f32> = before.iter().map(|&b| 0.5 * f32::from_bits(b)).collect();
        if device.is_gpu() || targets.iter().any(|t| !t.is_finite()) {
            // The bits of a step are the CPU's to show: a software adapter would compile for minutes.
        } else {
            let trained = train(&mut model, &x, &targets, width);
            assert_eq!(train(&mut loaded, &x, &targets, width), trained, "{case}");
        }
        done += 1;
    }
}

#[test]
fn random_options_come_back_on_the_cpu() {
    round_trips(&wgpu_lstm::testing::poisoned_cpu(), 150, 1);
}

#[test]
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
fn random_options_come_back_on_a_gpu() {
    round_trips(common::devices().last().unwrap(), 3, 2);
}
