//! Heart beats of five classes, two of which are nearly all there is: a bidirectional LSTM that is told to mind the
//! rare ones, beside a linear model and the nearest beat known.
//!
//!     cargo run --release --features npz,plot --example ecg
//!
//! The data are ECG5000: beats of one patient with heart failure, labelled by a program (`examples/data/README.md`).

#[path = "../common/mod.rs"]
mod common;

use common::Scores;
use wgpu_lstm::data::NpzFile;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::ConfusionMatrix;

const CLASSES: [&str; 5] = ["normal", "R-on-T", "ventricular", "supraventricular", "unclassified"];
/// A beat of 140 values is 28 frames of 5: shorter sequences are learned sooner.
const FRAME: [usize; 2] = [28, 5];

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let (x, y) = beats("train")?;
    let (test_x, test_y) = beats("test")?;
    println!("{} beats to train on, {} to test on", x.len(), test_x.len());

    // Of the rarest class there are two beats to learn from. Weights that make up for all of that would make the
    // model see it everywhere; their square roots are between that and nothing.
    let weights: Vec<f32> = y.class_weights(CLASSES.len())?.iter().map(|w| w.sqrt()).collect();
    // First values as PyTorch draws them: see the program `phones`.
    let lstm = Lstm::new(64).pytorch_init().bidirectional(Merge::Concat);
    let lstm = Sequential::new(device)
        .seed(seed)
        .add(lstm)
        .add(Dropout::new(0.3))
        .add(Dense::new(CLASSES.len()).activation(Activation::Softmax));
    let loss = CrossEntropy::new().class_weights(weights);
    let lstm = fit(lstm, Loss::CrossEntropyWith(loss), &x, &y, if short { 12 } else { 30 }, seed)?;
    let found = lstm.confusion_matrix(&test_x, &test_y)?;

    let linear = Sequential::new(device).seed(seed).add(Flatten::new().timesteps(FRAME[0]));
    let logits = Dense::new(CLASSES.len()).kernel_regularizer(Regularizer::l2(1e-3));
    let linear = linear.add(logits.activation(Activation::Softmax));
    let linear = fit(linear, Loss::CrossEntropy, &x, &y, if short { 30 } else { 200 }, seed)?;
    let linear = linear.confusion_matrix(&test_x, &test_y)?;

    let (known, labels) = (y.labels()?, test_y.labels()?);
    let nearest: Vec<u32> = test_x.iter().map(|beat| known[nearest(beat, &x)]).collect();
    let nearest = ConfusionMatrix::of(&labels, &nearest, CLASSES.len())?;

    println!("\n{found}\n{:18}{:>13}{:>13}", "", "sensitivity", "specificity");
    for (class, name) in CLASSES.iter().enumerate() {
        let sensitivity = found.recall(Average::Class(class));
        println!("{name:18}{sensitivity:13.3}{:13.3}", specificity(&found, class));
    }
    found.plot(&CLASSES)?.save(common::picture("ecg.svg"))?;
    Ok(vec![
        ("accuracy", found.accuracy()),
        ("accuracy, linear", linear.accuracy()),
        ("accuracy, nearest beat", nearest.accuracy()),
        ("sensitivity, mean of classes", found.recall(Average::Macro)),
        ("sensitivity, linear", linear.recall(Average::Macro)),
        ("sensitivity, nearest beat", nearest.recall(Average::Macro)),
        ("specificity, mean of classes", mean_specificity(&found)),
        ("specificity, linear", mean_specificity(&linear)),
        ("specificity, nearest beat", mean_specificity(&nearest)),
    ])
}

/// The beats of a part, which have a mean of 0 and a deviation of 1 each, and their classes.
fn beats(part: &str) -> anyhow::Result<(Sequences, Targets)> {
    let file = NpzFile::open(common::data("ecg/beats.npz"))?;
    let classes = file.array(&format!("{part}_y"))?.read_classes()?;
    let hundredths = file.array(&format!("{part}_x"))?.read()?;
    let values: Vec<f32> = hundredths.iter().map(|value| value / 100.0).collect();
    Ok((
        Sequences::from_array(&values, [classes.len(), FRAME[0], FRAME[1]])?,
        Targets::classes(classes),
    ))
}

fn fit(
    mut model: Sequential,
    loss: Loss,
    x: &Sequences,
    y: &Targets,
    epochs: usize,
    seed: u64,
) -> anyhow::Result<Sequential> {
    model.compile(Adam::new(3e-3), loss, &[Metric::Accuracy]);
    let fit = Fit::new().epochs(epochs).seed(seed).clip(Clip::GlobalNorm(1.0));
    model.fit(x, y, fit.schedule(CosineDecay::new(16 * epochs as u64)))?;
    Ok(model)
}

/// Which of the beats of `x` is nearest to this one.
fn nearest(beat: &[f32], x: &Sequences) -> usize {
    let distance =
        |i: &usize| -> f32 { x.get(*i).iter().zip(beat).map(|(a, b)| (a - b) * (a - b)).sum() };
    (0..x.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

/// The share of the beats of other classes that are not taken for one of this.
fn specificity(matrix: &ConfusionMatrix, class: usize) -> f64 {
    let others = (0..matrix.classes()).filter(|&label| label != class);
    let [all, wrong] = others.fold([0.0; 2], |[all, wrong], label| {
        [all + matrix.row(label).iter().sum::<f64>(), wrong + matrix.row(label)[class]]
    });
    1.0 - wrong / all
}

fn mean_specificity(matrix: &ConfusionMatrix) -> f64 {
    let classes = matrix.classes();
    (0..classes).map(|class| specificity(matrix, class)).sum::<f64>() / classes as f64
}
