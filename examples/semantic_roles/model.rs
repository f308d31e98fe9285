//! A deep LSTM that tags words, and how its tags become spans.

#[path = "../common/columns.rs"]
mod columns;

use super::data::{Example, Numbers};
use columns::Columns;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::nn::{Crf, Highway, Params};
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::Prediction;
use wgpu_lstm::{Tape, Tensor};

/// A model that has learned the tags of words.
pub fn learned(
    train: &[Example],
    numbers: &Numbers,
    crf: bool,
    epochs: usize,
    device: &Device,
    seed: u64,
) -> anyhow::Result<Sequential> {
    let init = Init::Uniform { limit: 1.0 };
    let input = Graph::new()
        .layer("number", "input", Columns(0..1))
        .layer("word", "number", Embedding::new(numbers.words(), 64).init(init))
        .layer("flag", "input", Columns(1..2))
        .layer("verb", "flag", Embedding::new(2, 16).init(init))
        .concat("both", &["word", "verb"]);
    let mut model =
        Sequential::new(device).seed(seed).add(input).add(Lstm::new(64).return_sequences());
    for depth in 1..4 {
        let lstm = Lstm::new(64).return_sequences();
        let lstm = if depth % 2 == 1 { lstm.go_backwards() } else { lstm };
        model = model.add(Dropout::new(0.1)).add(Highway::new(lstm));
    }
    model = match crf {
        false => model.add(Dense::new(numbers.tags.len()).activation(Activation::Softmax)),
        true => model.add(Dense::new(numbers.tags.len())).add(Crf::bio(&numbers.tags)?),
    };
    model.compile(Adam::new(5e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    // One word in ten is hidden.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let x = numbers.sequences(train, || rng.random_bool(0.1))?;
    let tags: Vec<_> = train.iter().map(|example| example.tags.clone()).collect();
    let y = Targets::classes(numbers.tags(&tags).concat());
    let steps = (epochs * x.len().div_ceil(32)) as u64;
    let fit = Fit::new().epochs(epochs).seed(seed).clip(Clip::GlobalNorm(1.0));
    model.fit(&x, &y, fit.bucket_by_length(8).schedule(CosineDecay::new(steps)))?;
    Ok(model)
}

/// The likeliest tags among those that make spans, an I- behind its B- alone: a CRF that adds nothing to the scores.
pub fn viterbi(
    found: &Prediction,
    tags: &[String],
    device: &Device,
) -> anyhow::Result<Vec<Vec<u32>>> {
    let params = Params::new(device);
    let crf = Crf::bio(tags)?.build(&params, tags.len())?;
    for name in params.names() {
        params.set(&name, &vec![0.0; params.get(&name)?.len()])?;
    }
    let tape = Tape::inference(&params);
    let path = |i| {
        let logs: Vec<f32> = found.sequence(i).iter().map(|p| p.max(1e-30).ln()).collect();
        let shape = [1, logs.len() / tags.len(), tags.len()];
        Ok(crf.decode(&tape, &Tensor::from_slice(&logs, shape, device)?.into())?.remove(0).0)
    };
    (0..found.sequences()).map(path).collect()
}
