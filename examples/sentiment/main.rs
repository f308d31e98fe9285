//! Praise or blame? Sentences of reviews of goods, films and restaurants, read by a bidirectional LSTM whose attention
//! shows which words its answer rests on; and what counting words makes of them.
//!
//!     cargo run --release --example sentiment
//!
//! Data: Sentiment Labelled Sentences, Kotzias et al. 2015; see `examples/data/README.md`.

#[path = "../common/mod.rs"]
mod common;
mod naive_bayes;

use wgpu_lstm::data::read_lines;
use wgpu_lstm::nn::AttentionPool;
use wgpu_lstm::prelude::*;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let [(train, labels), (test, truth)] = read()?;
    println!("{} sentences to train on, {} to test", train.len(), test.len());
    let vocabulary = Vocabulary::words().fit(&train)?;
    let (x, test_x) = (vocabulary.sequences(&train)?, vocabulary.sequences(&test)?);

    let mut model = Sequential::new(device)
        .seed(seed)
        .add(Embedding::new(vocabulary.len(), 64))
        .add(Dropout::new(0.5))
        .add(Lstm::new(32).bidirectional(Merge::Concat).return_sequences())
        .add(AttentionPool::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(2).activation(Activation::Softmax));
    // In the few epochs that there are, the pool's weights have a way to go.
    model.params().group(|name| name.starts_with("attention_pool"), Group::new().rate(20.0))?;
    model.compile(Adam::new(2e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    // A tenth of the sentences says when to stop.
    let y = Targets::classes(&labels);
    let (rest, held) = train_test_split(train.len(), 0.1, seed)?;
    let (held_x, held_y) = (x.select(&held)?, y.select(&held)?);
    let fit = Fit::new().epochs(if short { 4 } else { 20 }).seed(seed).bucket_by_length(8);
    let fit = fit.validation_data(&held_x, &held_y);
    let fit = fit.callback(EarlyStopping::new("val_loss").patience(3));
    model.fit(&x.select(&rest)?, &y.select(&rest)?, fit)?;

    let found = model.predict(&test_x)?;
    let mut rows = String::new();
    let short_ones = (0..test.len()).filter(|&i| (30..70).contains(&test[i].len()));
    let shown: Vec<_> = short_ones.step_by(15).take(16).collect();
    let maps = model.attention_maps(&test_x.select(&shown)?)?;
    for (row, (&i, map)) in shown.iter().zip(&maps).enumerate() {
        let attention = map.row(0);
        let most = attention.iter().copied().fold(0.0, f32::max);
        let (praise, y) = (found.row(i)[1], 24 * row + 25);
        let color = if praise > 0.5 { "#0060b0" } else { "#c04000" };
        let mark = if (praise > 0.5) == (truth[i] == 1) { "" } else { " wrong" };
        rows += &format!(
            "<g fill=\"{color}\"><text x=\"10\" y=\"{y}\">{:.0} %{mark}</text>",
            100.0 * praise
        );
        rows += &format!("<text x=\"120\" y=\"{y}\">");
        // Words that the model does not know have no number of its own.
        let words = Vocabulary::words().fit([&test[i]])?;
        for (number, weight) in words.encode(&test[i]).into_iter().zip(attention) {
            let (word, dark) = (words.token(number).unwrap_or_default(), 0.2 + 0.8 * weight / most);
            rows += &format!("<tspan fill-opacity=\"{dark:.2}\">{word}</tspan> ");
        }
        rows += "</text></g>\n";
    }
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"400\" font-family=\"sans-serif\">\n\
         <rect width=\"720\" height=\"400\" fill=\"white\"/>\n{rows}</svg>\n"
    );
    std::fs::write(common::picture("sentiment.svg"), svg)?;

    let tokens = |texts: &[String]| texts.iter().map(|t| vocabulary.encode(t)).collect::<Vec<_>>();
    let counted = naive_bayes::answers(&tokens(&train), &labels, &tokens(&test));
    let share = |answers: &[usize]| {
        answers.iter().zip(&truth).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64
    };
    Ok(vec![
        ("accuracy", share(&found.classes())),
        ("accuracy, words and pairs counted", share(&counted)),
    ])
}

/// Sentences, and for each 1 for praise or 0 for blame.
type Labelled = (Vec<String>, Vec<usize>);

/// Those to train on, and of each file each fifth to test.
fn read() -> anyhow::Result<[Labelled; 2]> {
    let mut parts = [Labelled::default(), Labelled::default()];
    for name in ["amazon", "imdb", "yelp"] {
        let lines = read_lines(common::data(&format!("sentiment/{name}.txt")))?;
        for (i, line) in lines.iter().enumerate() {
            let (texts, labels) = &mut parts[usize::from(i % 5 == 4)];
            labels.push(usize::from(line.starts_with('1')));
            texts.push(line[2..].to_owned());
        }
    }
    Ok(parts)
}
