//! Models that are written.

use super::{CASES, file, input, round_trip, vectors};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::io::keras;
use wgpu_lstm::nn::{
    Activation, Conv1d, Dense, Dropout, Embedding, Flatten, GateActivation, LayerNorm, Lstm, Merge,
    Padding, Params, Pool, Pool1d, Pooling, Regularizer, Repeat, Rnn,
};
use wgpu_lstm::{Device, Error, Sequential};

/// Weights that differ everywhere: the first biases of layers are alike.
fn fill(params: &Params) {
    for (number, name) in params.names().iter().enumerate() {
        let len = params.get(name).unwrap().len();
        let value = |i: usize| ((i * 37 + number * 11) as f32 * 0.7).sin() * 0.4;
        params.set(name, &(0..len).map(value).collect::<Vec<_>>()).unwrap();
    }
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 1.3).sin()).collect()
}

#[test]
fn what_keras_wrote_is_written_back() {
    let device = Device::cpu().unwrap();
    // What Keras takes as rows are sequences of one frame here, and rows again in the file.
    for name in CASES.into_iter().filter(|name| *name != "mask_zero") {
        let model = keras::load(file(&format!("{name}.keras")), &device).unwrap();
        let (shape, x) = vectors(&format!("x.{name}"));
        round_trip(&format!("again_{name}"), &model, &input(name), &x, &shape);
    }
}

#[test]
fn models_of_the_programs_own_are_written() {
    let device = Device::cpu().unwrap();
    let l2 = Regularizer::l1_l2(1e-3, 1e-2);
    let mut models = [
        Sequential::new(&device)
            .add(
                Lstm::new(3)
                    .num_layers(3)
                    .bidirectional(Merge::Mean)
                    .dropout(0.1)
                    .input_dropout(0.2)
                    .activity_regularizer(l2)
                    .return_sequences(),
            )
            .add(Dense::new(2).activation(Activation::Silu).frozen()),
        Sequential::new(&device)
            .add(
                Lstm::new(3)
                    .no_bias()
                    .activation(GateActivation::Softsign)
                    .recurrent_activation(GateActivation::HardSigmoid {
                        alpha: 1.0 / 6.0,
                        beta: 0.5,
                    })
                    .recurrent_dropout(0.1)
                    .kernel_regularizer(l2)
                    .recurrent_max_norm(2.0)
                    .return_sequences(),
            )
            .add(Dropout::new(0.1).features())
            .add(Activation::LeakyRelu { alpha: 0.03 })
            .add(Rnn::new(2).num_layers(2))
            .add(Repeat::new(3))
            .add(LayerNorm::new())
            .add(Pool::new(Pooling::Max)),
        Sequential::new(&device)
            .add(Conv1d::new(6, 3).padding(Padding::Causal).dilation(2).groups(3))
            .add(Pool1d::max(2))
            .add(Conv1d::new(2, 2).stride(2).activation(Activation::Gelu).no_bias())
            .add(Flatten::new().timesteps(2))
            .add(Dense::new(2).kernel_regularizer(l2).kernel_max_norm(1.0)),
    ];
    for (number, model) in models.iter_mut().enumerate() {
        model.build(3).unwrap();
        fill(model.params());
        // 8 or 9 timesteps give the third as many windows; the smaller is what its file says.
        let x = values(2 * 8 * 3);
        let sequences = Sequences::from_array(&x, [2, 8, 3]).unwrap();
        round_trip(&format!("own_{number}"), model, &sequences, &x, &[2, 8, 3]);
    }
    let mut model = Sequential::new(&device)
        .add(Flatten::new().timesteps(1))
        .add(Repeat::new(3))
        .add(Lstm::new(2).return_sequences())
        .add(Dense::new(2));
    model.build(4).unwrap();
    fill(model.params());
    let x = values(2 * 4);
    let sequences = Sequences::from_array(&x, [2, 1, 4]).unwrap();
    round_trip("own_rows", &model, &sequences, &x, &[2, 4]);
    let mut model = Sequential::new(&device)
        .add(Embedding::new(5, 3).mask_zero())
        .add(Lstm::new(2).return_sequences())
        .add(Pool::new(Pooling::Mean))
        .add(Dense::new(2));
    model.build(1).unwrap();
    fill(model.params());
    let tokens = [1_u32, 2, 4, 3, 2, 0, 0, 0];
    let sequences = Sequences::from_tokens(tokens.chunks(4).map(<[u32]>::to_vec)).unwrap();
    let x: Vec<_> = tokens.iter().map(|&token| token as f32).collect();
    round_trip("own_tokens", &model, &sequences, &x, &[2, 4]);
}

#[test]
fn what_keras_lacks_is_not_written() {
    let device = Device::cpu().unwrap();
    let path = std::env::temp_dir().join("wgpu-lstm-not-written.keras");
    let layers = [
        Lstm::new(4).projection(2),
        Lstm::new(4).peepholes(),
        Lstm::new(4).layer_norm(),
        Lstm::new(4).stateful(),
        Lstm::new(4).zoneout(0.1, 0.1),
        Lstm::new(4).go_backwards().return_sequences(),
        Lstm::new(4).recurrent_activation(GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
    ];
    for layer in layers {
        let mut model = Sequential::new(&device).add(layer);
        let error = keras::save(&model, &path).unwrap_err();
        assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
        model.build(2).unwrap();
        let error = keras::save(&model, &path).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(!path.exists());
    }
    let mut masked =
        Sequential::new(&device).add(Embedding::new(5, 3).mask_zero()).add(Pool::new(Pooling::Max));
    masked.build(1).unwrap();
    let error = keras::save(&masked, &path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    // Keras would count the layers of a graph otherwise where masks go along.
    let masked = keras::load(file("mask_zero.keras"), &device).unwrap();
    let error = keras::save(&masked, &path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "Graph", .. }), "{error}");
    let mut plain = Sequential::new(&device).add(Dense::new(1));
    plain.build(1).unwrap();
    let error = keras::save(&plain, path.with_extension("h5")).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
}
