//! Files that earlier versions wrote are read: `format_1.safetensors` is version 0.1's.

use super::common::{close, devices};
use super::sequences;
use safetensors::SafeTensors;
use std::path::PathBuf;
use wgpu_lstm::nn::{
    Activation, Coupling, Dense, Dropout, GateActivation, LayerNorm, Lstm, Merge, Pool, Pooling,
    Regularizer, Repeat, Rnn,
};
use wgpu_lstm::{Device, Sequential};

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "files", name].iter().collect()
}

fn predictions() -> Vec<f32> {
    let bytes = std::fs::read(file("format_1_predictions.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = file.tensor("predictions").unwrap().data().to_vec();
    words.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn model(device: &Device) -> Sequential {
    Sequential::new(device)
        .seed(17)
        .add(
            Lstm::new(4)
                .num_layers(2)
                .dropout(0.1)
                .bidirectional(Merge::Sum)
                .peepholes()
                .coupled(Coupling::InputFollowsForget)
                .recurrent_activation(GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 })
                .clip(3.0)
                .kernel_regularizer(Regularizer::l2(1e-4))
                .recurrent_max_norm(2.0)
                .return_sequences(),
        )
        .add(LayerNorm::new().epsilon(1e-3))
        .add(Dropout::new(0.25).features())
        .add(Rnn::new(3).return_sequences())
        .add(Lstm::new(4).projection(2).stateful().return_sequences())
        .add(Pool::new(Pooling::Mean))
        .add(Repeat::new(2))
        .add(Dense::new(3).activation(Activation::Softmax))
}

#[test]
fn a_file_of_format_1_is_read() {
    let x = sequences(2);
    for device in devices() {
        let loaded = Sequential::load(file("format_1.safetensors"), device).unwrap();
        let mut fresh = model(device);
        fresh.build(2).unwrap();
        assert_eq!(loaded.summary(), fresh.summary());
        assert_eq!(loaded.params().names(), fresh.params().names());
        let found = loaded.predict(&x).unwrap();
        close(&format!("predictions on {device}"), found.values(), &predictions(), 1e-5);
    }
}

/// What made the files; `cargo test --test files -- --ignored format_1_is_written`, once for each format.
#[test]
#[ignore = "writes the files that the other test reads"]
fn format_1_is_written() {
    let mut model = model(&devices()[0]);
    model.build(2).unwrap();
    model.save(file("format_1.safetensors")).unwrap();
    let found = model.predict(&sequences(2)).unwrap();
    let bytes: Vec<u8> = found.values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = vec![found.values().len()];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes).unwrap();
    let file_bytes = safetensors::serialize([("predictions", view)], None).unwrap();
    std::fs::write(file("format_1_predictions.safetensors"), file_bytes).unwrap();
}
