//! Who did what to whom, when and where? Semantic roles by an LSTM of four layers whose direction alternates, with ways
//! around them (after He et al. 2017, doi:10.18653/v1/P17-1044): it reads the words, and of which verb the roles are
//! asked.
//!
//!     cargo run --release --example semantic_roles
//!     cargo run --release --example semantic_roles -- TRAIN TEST
//!
//! TRAIN and TEST are files or folders: frames of PropBank (XML, whose examples are free to fetch), or columns as of
//! CoNLL-2005 and CoNLL-2012, a line for each word, an empty line between sentences, the word in the first or, behind a
//! document, a part and numbers, in the fourth column, and a column for each verb, such as `(A0*`, `*)`, `(V*)`, `*`.
//! Without them it learns from sentences of a small grammar, `examples/data/roles/grammar.txt`, and is tested on others,
//! and on sentences written by hand: that shows that it learns, and is no benchmark.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
pub(crate) mod data;
mod grammar;
mod model;
mod picture;

use data::{Example, Numbers};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::{Prediction, metrics::SpanF1};

/// What the scores are called.
type Names = [&'static str; 5];

const BY_HAND: Names = [
    "sentences by hand, F1",
    "sentences by hand, F1 constrained",
    "sentences by hand, F1 with CRF",
    "sentences by hand, F1 of the rule",
    "sentences by hand, F1, most frequent tag",
];
const OF_GRAMMAR: Names = [
    "the grammar's sentences, F1",
    "the grammar's sentences, F1 constrained",
    "the grammar's sentences, F1 with CRF",
    "the grammar's sentences, F1 of the rule",
    "the grammar's sentences, F1, most frequent tag",
];

fn main() -> anyhow::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [train, test] = &paths[..] else { return common::main(run) };
    if train.starts_with('-') {
        return common::main(run);
    }
    let (train, test) = (data::read(train)?, data::read(test)?);
    let names = ["F1", "F1 constrained", "F1 with CRF", "F1 of the rule", "F1, most frequent tag"];
    for (name, score) in roles(&train, &[(&test, names)], 10, &Device::auto()?, 0)? {
        println!("{name}: {score:.4}");
    }
    Ok(())
}

/// Learns from sentences of the grammar; the scores on others, and on those by hand.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<common::Scores> {
    let (count, epochs) = if short { (1_000, 8) } else { (3_000, 10) };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let drawn = grammar::Grammar::read()?.draw(count + 500, &mut rng)?;
    let (train, test) = drawn.split_at(count);
    let by_hand = data::read(common::data("roles/by_hand.txt"))?;
    roles(train, &[(test, OF_GRAMMAR), (&by_hand, BY_HAND)], epochs, device, seed)
}

/// Trains without and with a CRF, tests and draws.
fn roles(
    train: &[Example],
    tests: &[(&[Example], Names)],
    epochs: usize,
    device: &Device,
    seed: u64,
) -> anyhow::Result<common::Scores> {
    let all: Vec<&[Example]> = tests.iter().map(|test| test.0).collect();
    let numbers = Numbers::new(train, &all)?;
    println!("{} verbs to train on, {} words known", train.len(), numbers.words());
    let learned = |crf| model::learned(train, &numbers, crf, epochs, device, seed);
    let models = [learned(false)?, learned(true)?];
    let mut scores = common::Scores::new();
    for (examples, names) in tests {
        let x = numbers.sequences(examples, || false)?;
        let [alone, paths] = [models[0].predict(&x)?, models[1].predict(&x)?];
        let tags = |found: &Prediction| {
            let classes: Vec<u32> = found.classes().into_iter().map(|tag| tag as u32).collect();
            (0..x.len()).map(|i| classes[found.rows_of(i)].to_vec()).collect()
        };
        let found: [Vec<Vec<u32>>; 5] = [
            tags(&alone),
            model::viterbi(&alone, &numbers.tags, device)?,
            tags(&paths),
            numbers.tags(&baselines::rule(examples)),
            numbers.tags(&baselines::most_frequent(train, examples)),
        ];
        let truth: Vec<_> = examples.iter().map(|example| example.tags.clone()).collect();
        for (name, found) in names.iter().zip(&found) {
            scores.push((name, f1(found, &numbers.tags(&truth), &numbers.tags)?));
        }
        if *names != OF_GRAMMAR {
            picture::draw(examples, &found[2], &numbers.tags)?;
        }
    }
    Ok(scores)
}

/// F1 of all roles.
fn f1(found: &[Vec<u32>], truth: &[Vec<u32>], tags: &[String]) -> anyhow::Result<f64> {
    let mut spans = SpanF1::new(tags.iter().map(|tag| picture::role(tag)))?;
    found.iter().zip(truth).for_each(|(found, truth)| spans.add(found, truth));
    Ok(spans.f1())
}
