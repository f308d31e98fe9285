//! Training on fresh sequences until the criterion holds.

use super::draw::Drawn;
use super::tasks::{Outputs, Task};
use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng as Rng;
use wgpu_lstm::nn::{IntoLayer, Rnn};
use wgpu_lstm::prelude::*;

/// In 1997 it was one to eight.
const UNITS: usize = 16;
const BATCH: usize = 8;
/// The sequences between two looks at the criterion.
const ROUND: usize = 64 * BATCH;

/// What came of a training.
pub struct Outcome {
    /// The sequences, or symbols, trained on.
    pub used: usize,
    pub solved: bool,
    /// The share of new ones that is wrong.
    pub wrong: f64,
}

impl Task {
    /// Trains an LSTM.
    pub fn lstm(&self, limit: usize, rng: &mut Rng, device: &Device) -> Result<Outcome> {
        let layer = Lstm::new(UNITS).chrono_init(self.remember);
        match self.outputs {
            Outputs::Symbols(_) => self.learn(layer.return_sequences(), limit, rng, device),
            _ => self.learn(layer, limit, rng, device),
        }
    }

    /// Trains a plain recurrent layer.
    pub fn rnn(&self, limit: usize, rng: &mut Rng, device: &Device) -> Result<Outcome> {
        let layer = Rnn::new(2 * UNITS);
        match self.outputs {
            Outputs::Symbols(_) => self.learn(layer.return_sequences(), limit, rng, device),
            _ => self.learn(layer, limit, rng, device),
        }
    }

    fn learn(
        &self,
        layer: impl IntoLayer,
        limit: usize,
        rng: &mut Rng,
        device: &Device,
    ) -> Result<Outcome> {
        let (head, loss) = match self.outputs {
            Outputs::Symbols(n) | Outputs::Class(n) => {
                (Dense::new(n).activation(Activation::Softmax), Loss::CrossEntropy)
            }
            Outputs::Second => {
                (Dense::new(1).activation(Activation::Sigmoid), Loss::BinaryCrossEntropy)
            }
            Outputs::Value => (Dense::new(1), Loss::MeanSquaredError),
        };
        let mut model = Sequential::new(device).seed(rng.random()).add(layer).add(head);
        model.compile(Adam::new(0.01), loss, &[]);
        let (mut used, mut solved) = (0, false);
        while used < limit && !solved {
            let (x, y, _) = self.set(ROUND, rng)?;
            let fit = Fit::new().epochs(1).batch_size(BATCH).clip(Clip::GlobalNorm(1.0));
            model.fit(&x, &y, fit.quiet())?;
            used += ROUND;
            solved = self.solved(&model, rng)?;
        }
        let (wrong, _) = self.measure(&model, 2_560, rng)?;
        Ok(Outcome { used, solved, wrong: wrong as f64 / 2_560.0 })
    }

    /// Fresh sequences, what to learn from each, and what to measure it by.
    fn set(&self, rows: usize, rng: &mut Rng) -> Result<(Sequences, Targets, Vec<Vec<f32>>)> {
        let drawn: Vec<Drawn> = (0..rows).map(|_| (self.draw)(rng)).collect();
        let y = drawn.iter().flat_map(|drawn| &drawn.y);
        let y = match self.outputs {
            Outputs::Symbols(_) | Outputs::Class(_) => Targets::classes(y.map(|&y| y as u32)),
            Outputs::Second | Outputs::Value => Targets::values(y, 1),
        };
        let x = Sequences::new(self.features, drawn.iter().map(|drawn| &drawn.x))?;
        Ok((x, y, drawn.into_iter().map(|drawn| drawn.truth).collect()))
    }

    /// How many of fresh sequences are wrong, and the mean error of all outputs.
    fn measure(&self, model: &Sequential, rows: usize, rng: &mut Rng) -> Result<(usize, f32)> {
        let (x, _, truth) = self.set(rows, rng)?;
        let found = model.predict(&x)?;
        let (mut wrong, mut error, mut count) = (0, 0.0, 0);
        for (row, truth) in truth.iter().enumerate() {
            let outputs = found.sequence(row);
            let outputs = &outputs[outputs.len() - truth.len()..];
            wrong += usize::from(!self.right.holds(outputs, truth, found.width()));
            error += outputs.iter().zip(truth).map(|(o, t)| (o - t).abs()).sum::<f32>();
            count += truth.len();
        }
        Ok((wrong, error / count as f32))
    }

    /// Whether the paper's criterion holds; most often few sequences show that it does not.
    fn solved(&self, model: &Sequential, rng: &mut Rng) -> Result<bool> {
        let (mut seen, mut misses, mut error) = (0, 0, 0.0);
        while seen < self.fresh {
            let rows = (self.fresh - seen).min(256);
            let (wrong, mean) = self.measure(model, rows, rng)?;
            misses += wrong;
            error += mean * rows as f32 / self.fresh as f32;
            if misses > self.misses || error >= self.mean_error {
                return Ok(false);
            }
            seen += rows;
        }
        Ok(true)
    }
}
