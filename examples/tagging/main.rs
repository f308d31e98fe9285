//! Where are the words, what are they, and which are names? Three tasks on Japanese sentences, each by a bidirectional
//! LSTM that says a tag for each letter or word: without and with a CRF, which decides on all of them together.
//!
//!     cargo run --release --example tagging
//!
//! Japanese has no spaces, so words are found letter by letter, of which the model sees the kind, too. Their parts of
//! speech and the names are told word by word; what a word is the model sees in two ways, as the word it knows and as
//! what an LSTM makes of its letters (Lample et al. 2016, arXiv 1603.01360). Data: the corpus of the package
//! hironsancorpus; see `examples/data/README.md`.

mod baselines;
#[path = "../common/columns.rs"]
mod columns;
#[path = "../common/mod.rs"]
mod common;
mod data;
#[path = "../common/spans.rs"]
mod spans;

use columns::Columns;
use data::{Sentence, Task};
use spans::Row;
use wgpu_lstm::nn::Crf;
use wgpu_lstm::prelude::*;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let sentences = data::read()?;
    let (train, test) = sentences.split_at(400);
    let train = if short { &train[..220] } else { train };
    println!("{} sentences to train on, {} to test", train.len(), test.len());
    let parts = [train, test];
    let tasks = [data::words(parts)?, data::tags(parts, false)?, data::tags(parts, true)?];
    let mut scores = common::Scores::new();
    for task in &tasks {
        for (crf, name) in [false, true].into_iter().zip(task.scores) {
            println!("\n{name}");
            let found = found(task, crf, if short { 8 } else { 25 }, device, seed)?;
            scores.push((name, task.score(&found)?));
            if crf && task.spans && task.words.is_some() {
                draw(test, task, &found)?;
            }
        }
        for (name, found) in &task.baselines {
            scores.push((name, task.score(found)?));
        }
    }
    Ok(scores)
}

/// Trains a model, and tags the sentences to test.
fn found(
    task: &Task,
    crf: bool,
    epochs: usize,
    device: &Device,
    seed: u64,
) -> anyhow::Result<Vec<Vec<u32>>> {
    // With so few sentences, vectors that begin as small as by default have not grown large enough in the end.
    let init = Init::Uniform { limit: 1.0 };
    let embedding = |tokens, size| Embedding::new(tokens, size).init(init);
    let input = Graph::new().layer("number", "input", Columns(0..1));
    let input = match task.words {
        None => input
            .layer("token", "number", embedding(task.letters, 64))
            .layer("kind", "input", Columns(1..2))
            .layer("more", "kind", embedding(data::KINDS, 16)),
        Some(words) => {
            let letters = TimeDistributed::new()
                .add(embedding(task.letters, 32).mask_zero())
                .add(Lstm::new(32).bidirectional(Merge::Concat));
            input
                .layer("token", "number", embedding(words, 64))
                .layer("letters", "input", Columns(1..1 + data::LETTERS))
                .layer("more", "letters", letters)
        }
    };
    let mut model = Sequential::new(device)
        .seed(seed)
        .add(input.concat("both", &["token", "more"]))
        .add(Dropout::new(0.5))
        .add(Lstm::new(80).bidirectional(Merge::Concat).return_sequences())
        .add(Dropout::new(0.5));
    model = match (crf, task.spans) {
        (false, _) => model.add(Dense::new(task.tags.len()).activation(Activation::Softmax)),
        (true, true) => model.add(Dense::new(task.tags.len())).add(Crf::bio(&task.tags)?),
        (true, false) => model.add(Dense::new(task.tags.len())).add(Crf::new()),
    };
    model.compile(Adam::new(5e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    let y = Targets::classes(task.y[0].iter().flatten());
    let steps = (epochs * task.x[0].len().div_ceil(16)) as u64;
    let fit = Fit::new().epochs(epochs).batch_size(16).seed(seed).clip(Clip::GlobalNorm(5.0));
    model.fit(&task.x[0], &y, fit.schedule(CosineDecay::new(steps)))?;
    let found = model.predict(&task.x[1])?;
    let classes = found.classes();
    let tags = |i| classes[found.rows_of(i)].iter().map(|&tag| tag as u32).collect();
    Ok((0..found.sequences()).map(tags).collect())
}

/// Draws the names in some sentences.
fn draw(test: &[Sentence], names: &Task, found: &[Vec<u32>]) -> anyhow::Result<()> {
    let row = |i: usize| Row {
        words: test[i].iter().map(|[word, ..]| word.as_str()).collect(),
        found: found[i].iter().map(|&tag| names.tags[tag as usize].as_str()).collect(),
        truth: test[i].iter().map(|[.., name]| name.as_str()).collect(),
        marked: None,
    };
    let named = |&i: &usize| test[i].len() < 26 && test[i].iter().any(|[.., name]| name != "O");
    let rows: Vec<_> = (0..test.len()).filter(named).take(10).map(row).collect();
    spans::draw(&rows, "tagging.svg")
}
