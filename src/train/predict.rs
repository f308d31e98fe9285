//! Predictions for sequences.

use super::batch;
use super::prediction::{Meaning, Prediction};
use super::sequential::{Sequential, other_features};
use crate::autograd::Tape;
use crate::data::Sequences;
use crate::nn::Activation;
use crate::{Error, Result};

impl Sequential {
    /// Predicts the outputs for sequences `x`, 32 at a time.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Features`] if the sequences have other
    /// features than the model was built for; [`Error::Token`]; if a layer is stateful,
    /// [`Error::Option`] for sequences that 32 does not divide and [`Error::State`] if it remembers
    /// other rows; and those of the device.
    pub fn predict(&self, x: &Sequences) -> Result<Prediction> {
        self.predict_batches(x, 32)
    }

    /// As [`Sequential::predict`], `batch_size` sequences at a time. With stateful layers the size must be
    /// that of the batches before.
    ///
    /// # Errors
    /// As [`Sequential::predict`]; [`Error::Option`] for a size of 0, too.
    pub fn predict_batches(&self, x: &Sequences, batch_size: usize) -> Result<Prediction> {
        let (Some(last), Some(input_size)) = (self.layers.last(), self.input_size) else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        let width = last.output_size();
        if input_size != x.features() {
            return Err(other_features("Sequential::predict", input_size, x.features()));
        }
        self.check_input(x)?;
        self.check_batches("Sequential::predict_batches", x.len(), batch_size, true)?;
        let device = self.params.device();
        let out = self.rows();
        let all: Vec<_> = (0..x.len()).collect();
        let loss = self.compiled.as_ref().map(|compiled| &compiled.loss);
        let meaning = Meaning::of(self.activation(), loss);
        let (mut values, mut classes) = (Vec::new(), Vec::new());
        for rows in all.chunks(batch_size) {
            let batch = batch::batch(x, None, out, rows, self.counting(), &device)?;
            let tape = Tape::inference(&self.params);
            let (logits, activation) = self.forward_logits(&tape, &batch.x)?;
            let words = activation.forward(&tape, &logits)?.tensor().to_vec()?;
            // Logits are only read back where rounding made two classes equal.
            let own = activation != Activation::Linear;
            let ties = own && words.chunks_exact(width).any(|row| meaning.is_tie(row));
            let logits = if ties { Some(logits.tensor().to_vec()?) } else { None };
            let size = words.len() / rows.len();
            for (number, &row) in rows.iter().enumerate() {
                // `check_output` saw that there are as many.
                let here = number * size..number * size + out.range(x, row).len() * width;
                let found = words.get(here.clone()).unwrap_or_default();
                values.extend_from_slice(found);
                for (n, row) in found.chunks_exact(width).enumerate() {
                    let logits = logits.as_ref().filter(|_| meaning.is_tie(row));
                    let class = match logits.and_then(|l| l[here.start + n * width..].get(..width))
                    {
                        Some(logits) => Meaning::Logits.class(logits),
                        None => meaning.class(row),
                    };
                    classes.push(class as u32);
                }
            }
        }
        Ok(Prediction { values, width, classes })
    }
}
