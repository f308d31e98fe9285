//! The vanishing gradient, seen: how much of the loss's gradient reaches each of 200 timesteps of a plain recurrent
//! layer and of LSTMs whose forget gates begin differently, and which of them then learn what stood at the first
//! step. And the gates of an LSTM, word by word, over a sentence that it judges.
//!
//!     cargo run --release --features plot --example vanishing
//!
//! Data: the two-sequence problem (Bengio et al. 1994; Hochreiter & Schmidhuber 1997, experiment 3a), drawn here; and
//! Sentiment Labelled Sentences, Kotzias et al. 2015: see `examples/data/README.md`.

#[path = "../common/mod.rs"]
mod common;
mod data;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::Tape;
use wgpu_lstm::nn::Rnn;
use wgpu_lstm::plot::{self, HeatMap};
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::GradientFlow;

const TIMESTEPS: usize = 200;
const UNITS: usize = 16;
/// One of those that the model is not trained on.
const SENTENCE: &str = "I checked out this place a couple years ago and was not impressed.";

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Looks at gradients, trains, looks at gates.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let rnn = || Rnn::new(32);
    let small = Init::PyTorch;
    let lstm = || Lstm::new(32);
    let new = || Sequential::new(device).seed(seed);
    let models = [
        ("RNN", new().add(rnn().kernel_init(small).recurrent_init(small).bias_init(small))),
        ("RNN, orthogonal", new().add(rnn())),
        ("LSTM, forget bias 0", new().add(lstm().forget_bias(0.0))),
        ("LSTM, forget bias 1", new().add(lstm().forget_bias(1.0))),
        ("LSTM, chrono", new().add(lstm().chrono_init(TIMESTEPS))),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (x, y) = data::first_of_many(if short { 512 } else { 4096 }, &mut rng)?;
    let (test_x, test_y) = data::first_of_many(1000, &mut rng)?;
    let (some_x, some_y) = (x.slice(..64)?, y.slice(..64)?);
    let (mut flows, mut scores) = (Vec::new(), Vec::new());
    for (name, model) in models {
        let mut model = model.add(Dense::new(1).activation(Activation::Sigmoid));
        model.compile(Adam::new(5e-3), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
        model.build(1)?;
        let flow = model.gradient_flow(&some_x, &some_y)?.remove(0);
        let lost = decades_lost(&flow);
        println!("{name}: the gradient loses {lost:.1} decades on its way");
        let fit =
            Fit::new().epochs(if short { 1 } else { 4 }).seed(seed).clip(Clip::GlobalNorm(1.0));
        model.fit(&x, &y, fit)?;
        let accuracy = model.evaluate(&test_x, &test_y)?.metrics[0];
        // The names of scores live as long as the program.
        scores.push((&*format!("decades lost, {name}").leak(), lost));
        scores.push((&*format!("accuracy, {name}").leak(), accuracy.into()));
        flows.push((name, flow));
    }
    let flows: Vec<_> = flows.iter().map(|(name, flow)| (*name, flow)).collect();
    plot::gradient_flow(&flows).save(common::picture("vanishing.svg"))?;
    scores.push(("accuracy on sentences", gates(device, seed, short)?));
    Ok(scores)
}

/// How many powers of ten smaller the gradient is at the first timestep than at the last but one. Of the cell state
/// if there is one: it is the way that gradients take. 38 is all that 32 bits have.
fn decades_lost(flow: &GradientFlow) -> f64 {
    let norms = if flow.c.is_empty() { &flow.h } else { &flow.c };
    let [first, last] = [norms[0], norms[norms.len() - 2]].map(|norm| norm.max(f32::MIN_POSITIVE));
    f64::from(last.log10() - first.log10())
}

/// Trains on sentences of reviews, praise or blame, and draws the gates over one that was not among them.
fn gates(device: &Device, seed: u64, short: bool) -> anyhow::Result<f64> {
    let [(train, y), (test, test_y)] = data::reviews()?;
    let vocabulary = Vocabulary::words().fit(&train)?;
    let mut model = Sequential::new(device).seed(seed);
    let embedding = Embedding::new(vocabulary.len(), 32).build(model.params())?;
    let lstm = Lstm::new(UNITS).build(model.params(), 32)?;
    model = model.add(embedding.clone()).add(Dropout::new(0.5)).add(lstm.clone());
    model = model.add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(5e-3), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    let fit = Fit::new().epochs(if short { 2 } else { 8 }).seed(seed).bucket_by_length(8);
    model.fit(&vocabulary.sequences(&train)?, &Targets::values(&y, 1), fit)?;
    let found = model.evaluate(&vocabulary.sequences(&test)?, &Targets::values(&test_y, 1))?;

    let tokens = vocabulary.encode(SENTENCE);
    let x = embedding.lookup(&Tape::inference(model.params()), &tokens, [1, tokens.len()])?;
    let trace = lstm.inspect(model.params(), &x, None)?.remove(0); // gates [1,T,4,H]: i, f, g, o
    let mean = |gate: usize| {
        trace
            .gates
            .chunks(UNITS)
            .skip(gate)
            .step_by(4)
            .map(|units| units.iter().sum::<f32>() / UNITS as f32)
    };
    let prefixes = (1..=tokens.len()).map(|words| &tokens[..words]);
    let praise = model.predict(&Sequences::from_tokens(prefixes)?)?.column(0);
    let rows: Vec<f32> = mean(0).chain(mean(1)).chain(mean(3)).chain(praise).collect();
    // With the words that the model does not know.
    let own = Vocabulary::words().fit([SENTENCE])?;
    let words: Vec<_> =
        own.encode(SENTENCE).into_iter().filter_map(|token| own.token(token)).collect();
    HeatMap::new(&rows, [4, tokens.len()])
        .rows(&["input gate", "forget gate", "output gate", "praise so far"])
        .columns(&words)
        .range(0.0, 1.0)
        .plot()?
        .save(common::picture("vanishing_gates.svg"))?;
    Ok(found.metrics[0].into())
}
