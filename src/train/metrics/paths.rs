//! Labels that the likeliest path of a sequence spells, beside those that it should.

use crate::autograd::Var;
use crate::loss::{Ctc, RowWeights};
use crate::ops::loss::answers::{self, answers};
use crate::train::batch::Batch;
use crate::{Result, Tensor};

/// What is kept of a batch: the likeliest class of each timestep, on the device.
pub(super) struct Paths {
    answers: Tensor,
    labels: Vec<Vec<u32>>,
    weights: Option<Vec<f32>>,
    /// The timesteps of each sequence, and those with padding.
    frames: Vec<usize>,
    steps: usize,
    ctc: Ctc,
}

impl Paths {
    /// Of the logits `[B,T,C]` of a batch.
    pub(super) fn new(logits: &Var, labels: &[Vec<u32>], ctc: Ctc, batch: &Batch) -> Result<Self> {
        let x = logits.tensor();
        let (rows, steps) = (labels.len(), logits.shape()[1]);
        // No label has a place in time: the ranks of these mean nothing.
        let nothing = Tensor::from_u32(&vec![0; rows * steps], [rows * steps], &x.device())?;
        let lengths = logits.lengths().map(|lengths| lengths.values());
        Ok(Self {
            answers: answers(x, &nothing, None, false)?,
            labels: labels.to_vec(),
            weights: batch.weights.as_ref().map(RowWeights::values).map(<[f32]>::to_vec),
            frames: (0..rows).map(|row| lengths.map_or(steps, |l| l[row] as usize)).collect(),
            steps,
            ctc,
        })
    }

    /// Gives `each` what was found of a sequence that counts, what it should be, and its weight. Waits for the device.
    pub(super) fn read(self, mut each: impl FnMut(&[u32], &[u32], f64)) -> Result<()> {
        let words = self.answers.to_vec()?;
        let rows = words.chunks_exact((self.steps * answers::WIDTH).max(1));
        for ((row, words), expected) in rows.enumerate().zip(&self.labels) {
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[row]);
            if weight == 0.0 {
                continue;
            }
            let own = words.chunks_exact(answers::WIDTH).take(self.frames[row]);
            // -1 of a timestep that answers nothing: a label that there is not.
            let class = |answer: &[f32]| match answer[answers::CLASS] {
                class if class < 0.0 => u32::MAX,
                class => class as u32,
            };
            let path: Vec<_> = own.map(class).collect();
            each(&self.ctc.spelt(&path), expected, f64::from(weight));
        }
        Ok(())
    }
}
