//! What metrics of all outputs keep of each batch, until they are asked.

use super::bleu::Bleu;
use super::curves::Scores;
use super::edits::ErrorRate;
use super::metric::{Family, Metric};
use super::paths::Paths;
use super::spans::SpanF1;
use crate::autograd::Var;
use crate::file::State;
use crate::loss::Ctc;
use crate::ops::loss::answers;
use crate::train::batch::Batch;
use crate::{Result, Tensor};
use std::cell::RefCell;

/// The outputs of all batches: of the latest on the device, of those before, as far as metrics have been
/// read, summed up on the host.
pub(crate) struct Kept {
    family: Family,
    width: usize,
    scores: bool,
    sequences: bool,
    waiting: RefCell<Vec<Outputs>>,
    /// The same of models whose outputs spell labels.
    paths: RefCell<Vec<Paths>>,
    done: RefCell<Done>,
}

/// What is kept of a batch. Its tensors are those that the step made: none is copied.
struct Outputs {
    scores: Option<Tensor>,
    answers: Option<Tensor>,
    labels: Vec<u32>,
    numbers: Vec<f32>,
    weights: Option<Vec<f32>>,
    steps: usize,
}

struct Done {
    scores: Vec<Scores>,
    errors: ErrorRate,
    bleu: Bleu,
    /// With the names of the tags, which tell them apart.
    spans: Vec<(Vec<String>, SpanF1)>,
}

/// What sums up on the host, as numbers.
trait Numbers {
    fn numbers(&self) -> Vec<f64>;
    fn set_numbers(&mut self, numbers: &[f64]);
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Numbers for $kind {
            fn numbers(&self) -> Vec<f64> {
                <$kind>::numbers(self)
            }

            fn set_numbers(&mut self, numbers: &[f64]) {
                <$kind>::set_numbers(self, numbers);
            }
        })*
    };
}

numbers!(Scores, ErrorRate, Bleu, SpanF1);

impl Done {
    /// All parts by name.
    fn parts(&mut self) -> Vec<(String, &mut dyn Numbers)> {
        let mut parts: Vec<(String, &mut dyn Numbers)> =
            vec![("errors".into(), &mut self.errors), ("bleu".into(), &mut self.bleu)];
        for (number, scores) in self.scores.iter_mut().enumerate() {
            parts.push((format!("scores/{number}"), scores));
        }
        for (number, (_, spans)) in self.spans.iter_mut().enumerate() {
            parts.push((format!("spans/{number}"), spans));
        }
        parts
    }
}

/// The n-grams of BLEU, as in most papers.
const BLEU_ORDER: usize = 4;

impl Kept {
    /// `None` if no metric needs all outputs.
    pub(super) fn new(metrics: &[Metric], family: Family, width: usize) -> Result<Option<Self>> {
        let scores = metrics.iter().any(Metric::of_scores);
        let sequences = metrics.iter().any(Metric::of_sequences);
        if !scores && !sequences {
            return Ok(None);
        }
        let mut spans = Vec::new();
        for metric in metrics {
            if let Metric::SpanF1 { tags } = metric {
                spans.push((tags.clone(), SpanF1::new(tags)?));
            }
        }
        // Of two classes the one is as likely as the other is not.
        let columns = if family == Family::Classes && width == 2 { 1 } else { width };
        let done = Done {
            scores: (0..columns).map(|_| Scores::default()).collect(),
            errors: ErrorRate::new(),
            bleu: Bleu::of_order(BLEU_ORDER),
            spans,
        };
        let (waiting, paths, done) = (RefCell::default(), RefCell::default(), RefCell::new(done));
        Ok(Some(Self { family, width, scores, sequences, waiting, paths, done }))
    }

    /// Whether it takes answers.
    pub(super) fn of_sequences(&self) -> bool {
        self.sequences
    }

    /// Keeps what a batch gave: the outputs `[B,C]` or `[B,T,C]`, and the answers if it takes them.
    pub(super) fn add(
        &self,
        output: &Tensor,
        answers: Option<&Tensor>,
        labels: &[u32],
        batch: &Batch,
    ) {
        let steps = match output.shape() {
            [_, steps, _] => *steps,
            _ => 1,
        };
        self.waiting.borrow_mut().push(Outputs {
            scores: self.scores.then(|| output.clone()),
            answers: answers.filter(|_| self.sequences).cloned(),
            labels: labels.to_vec(),
            numbers: if self.scores { batch.numbers.clone() } else { Vec::new() },
            weights: batch.weights.as_ref().map(|w| w.values().to_vec()),
            steps,
        });
    }

    /// Keeps the path of a batch of sequences of labels.
    pub(super) fn add_paths(
        &self,
        logits: &Var,
        labels: &[Vec<u32>],
        ctc: Ctc,
        batch: &Batch,
    ) -> Result<()> {
        self.paths.borrow_mut().push(Paths::new(logits, labels, ctc, batch)?);
        Ok(())
    }

    /// Reads what is still on the device.
    pub(super) fn finish(&self) -> Result<()> {
        for outputs in self.waiting.take() {
            let weight = |row: usize| outputs.weights.as_ref().map_or(1.0, |w| w[row]);
            if let Some(scores) = &outputs.scores {
                self.add_scores(&scores.to_vec()?, &outputs, weight);
            }
            if let Some(answers) = &outputs.answers {
                self.add_sequences(&answers.to_vec()?, &outputs, weight);
            }
        }
        for paths in self.paths.take() {
            let mut done = self.done.borrow_mut();
            paths.read(|found, expected, weight| {
                done.errors.add_weighted(found, expected, weight);
                done.bleu.add_weighted(found, &[expected], weight);
            })?;
        }
        Ok(())
    }

    fn add_scores(&self, x: &[f32], outputs: &Outputs, weight: impl Fn(usize) -> f32) {
        let mut done = self.done.borrow_mut();
        let mut likely = Vec::with_capacity(self.width);
        for (row, x) in x.chunks_exact(self.width).enumerate() {
            let weight = weight(row);
            if self.family == Family::Binary {
                let numbers = &outputs.numbers[row * self.width..];
                for ((scores, &x), &y) in done.scores.iter_mut().zip(x).zip(numbers) {
                    scores.add(f64::from(x), y > 0.5, weight);
                }
                continue;
            }
            let label = outputs.labels[row] as usize;
            if let [no, yes] = *x {
                done.scores[0].add(f64::from(yes) - f64::from(no), label == 1, weight);
                continue;
            }
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            likely.clear();
            likely.extend(x.iter().map(|&x| (f64::from(x) - f64::from(largest)).exp()));
            let sum = likely.iter().sum::<f64>();
            for (class, (scores, likely)) in done.scores.iter_mut().zip(&likely).enumerate() {
                scores.add(likely / sum, label == class, weight);
            }
        }
    }

    fn add_sequences(&self, x: &[f32], outputs: &Outputs, weight: impl Fn(usize) -> f32) {
        let mut done = self.done.borrow_mut();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for first in (0..outputs.labels.len()).step_by(outputs.steps) {
            found.clear();
            expected.clear();
            let counts = |row: &usize| weight(*row) != 0.0;
            let rows = first..first + outputs.steps;
            let Some(own) = rows.clone().find(counts).map(|row| f64::from(weight(row))) else {
                continue;
            };
            for row in rows.filter(counts) {
                let class = x[row * answers::WIDTH + answers::CLASS];
                // -1 of a row that answers nothing: a token that is no label.
                found.push(if class < 0.0 { u32::MAX } else { class as u32 });
                expected.push(outputs.labels[row]);
            }
            done.errors.add_weighted(&found, &expected, own);
            done.bleu.add_weighted(&found, &[&expected], own);
            for (_, spans) in &mut done.spans {
                spans.add_weighted(&found, &expected, own);
            }
        }
    }

    /// What has been kept so far. Waits for the device.
    pub(super) fn state(&self) -> Result<State> {
        self.finish()?;
        let mut state = State::new();
        for (name, numbers) in self.done.borrow_mut().parts() {
            state.set_doubles(&name, &numbers.numbers());
        }
        Ok(state)
    }

    /// Goes on from what [`Kept::state`] gave.
    pub(super) fn set_state(&self, state: &State) -> Result<()> {
        self.waiting.borrow_mut().clear();
        self.paths.borrow_mut().clear();
        for (name, numbers) in self.done.borrow_mut().parts() {
            numbers.set_numbers(&state.doubles(&name)?);
        }
        Ok(())
    }

    /// The value of one of its metrics, of what has been read.
    pub(super) fn value(&self, metric: &Metric) -> f64 {
        let done = self.done.borrow();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let scores = done.scores.iter();
        match metric {
            Metric::RocAuc if done.scores.iter().any(Scores::has_nan) => f64::NAN,
            Metric::RocAuc => mean(scores.map(Scores::roc_auc).filter(|v| !v.is_nan()).collect()),
            Metric::AveragePrecision => mean(scores.map(Scores::average_precision).collect()),
            Metric::EditDistance => done.errors.mean_distance(),
            Metric::ErrorRate => done.errors.rate(),
            Metric::Bleu => done.bleu.value(),
            Metric::SpanF1 { tags } => {
                let own = done.spans.iter().find(|(names, _)| names == tags);
                own.map_or(0.0, |(_, spans)| spans.f1())
            }
            _ => f64::NAN,
        }
    }
}
