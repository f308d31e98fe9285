//! Predictions for sequences.

use super::feed::{Feed, Plan};
use super::prediction::Prediction;
use super::sequential::{Sequential, other_features};
#[cfg(doc)]
use crate::Error;
use crate::Result;
use crate::autograd::Tape;
use crate::data::{Origin, Sequences, Source};
use crate::nn::Activation;

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
        let Some(input_size) = self.input_size else {
            return Err(self.not_built());
        };
        if input_size != x.features() {
            return Err(other_features("Sequential::predict", input_size, x.features()));
        }
        self.check_input(x)?;
        self.check_batches("Sequential::predict_batches", x.len(), batch_size, true)?;
        let data = Origin::Memory { x, y: None, weights: None };
        let plan = Plan::in_order(data, batch_size)?;
        self.predict_feed(&Feed::new(self, data, plan, None, "Sequential::predict"))
    }

    /// As [`Sequential::predict_batches`], for samples that need not lie in memory, whose targets are not looked
    /// at: a reference to a [`crate::data::Dataset`] or an [`crate::data::IterableDataset`]. A thread loads the
    /// next batch while the device works. The outputs of all samples are kept.
    ///
    /// ```
    /// use wgpu_lstm::data::{IterableDataset, Sample};
    /// use wgpu_lstm::prelude::*;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(3));
    /// model.build(2)?;
    /// let ones = IterableDataset::new(2, |_| Ok((1..6).map(|i| Ok(Sample::new(vec![1.0; 2 * i])))));
    /// assert_eq!(model.predict_dataset(&ones, 2)?.rows(), 5);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sequential::predict_batches`]; [`Error::Sample`] for what is wrong with a sample.
    pub fn predict_dataset<'d>(
        &self,
        data: impl Into<Source<'d>>,
        batch_size: usize,
    ) -> Result<Prediction> {
        const OP: &str = "Sequential::predict_dataset";
        let data = match data.into().0 {
            Origin::Memory { x, .. } => return self.predict_batches(x, batch_size),
            data => data,
        };
        let Some(input_size) = self.input_size else {
            return Err(self.not_built());
        };
        if input_size != data.features() {
            return Err(other_features(OP, input_size, data.features()));
        }
        self.check_batches(OP, data.len().unwrap_or(0), batch_size, true)?;
        let plan = Plan::in_order(data, batch_size)?;
        self.predict_feed(&Feed::new(self, data, plan, None, OP))
    }

    fn predict_feed(&self, feed: &Feed<'_>) -> Result<Prediction> {
        let width = self.layers.last().map_or(0, |last| last.output_size());
        let mut prediction = Prediction::new(width, self.meaning());
        feed.run(0, 1, |next| {
            while let Some(part) = next()? {
                let (batch, rows) = (feed.batch(&part)?, &part.rows);
                let tape = Tape::inference(&self.params);
                let (logits, activation) = self.forward_logits(&tape, &batch.x)?;
                let (words, tags) = match self.crf() {
                    Some(crf) => crf.marginals_and_tags(&tape, &logits)?,
                    None => (activation.forward(&tape, &logits)?.tensor().to_vec()?, Vec::new()),
                };
                let mut read = None;
                let size = words.len() / rows.len();
                for (number, &row) in rows.iter().enumerate() {
                    // `check_output` saw that there are as many.
                    let here =
                        number * size..number * size + self.rows_of(part.x.frames(row)) * width;
                    let found = words.get(here.clone()).unwrap_or_default();
                    if let Some(tags) = tags.get(here.start / width..here.end / width) {
                        prediction.push_classes(found, tags);
                        continue;
                    }
                    prediction.push(found, || {
                        if activation == Activation::Linear {
                            return Ok(None);
                        }
                        let all = match read.take() {
                            Some(all) => all,
                            None => logits.tensor().to_vec()?,
                        };
                        let here = all.get(here).map(<[f32]>::to_vec);
                        read = Some(all);
                        Ok(here)
                    })?;
                }
            }
            Ok(())
        })?;
        Ok(prediction)
    }
}
