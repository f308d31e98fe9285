//! Which steps the attention of a model looks at.

use super::batch;
use super::sequential::{Sequential, other_features};
use super::training::Aside;
use crate::autograd::Tape;
use crate::data::Sequences;
use crate::nn::AttentionMap;
use crate::{Error, Result};

const OP: &str = "Sequential::attention_maps";

impl Sequential {
    /// How much a model's attention looks at each step of each sequence: of an
    /// [`AttentionPool`](crate::nn::AttentionPool) one row of weights, a column for each frame or token (behind layers
    /// that change the number of steps, for each of theirs). The rows of several stand below each other in the order in
    /// which they run; an [`Attention`](crate::nn::Attention) in a layer of your own has one for each of its queries.
    ///
    /// The sequences run one by one, without dropout: to look at, not to be fast. The states of layers stay as they are.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// use wgpu_lstm::nn::AttentionPool;
    ///
    /// let mut model = Sequential::new(&Device::auto()?)
    ///     .add(Embedding::new(20, 4))
    ///     .add(Lstm::new(8).return_sequences())
    ///     .add(AttentionPool::new())
    ///     .add(Dense::new(2));
    /// model.build(1)?;
    /// let texts = Sequences::from_tokens([vec![3, 14, 15], vec![9, 2]])?;
    /// let maps = model.attention_maps(&texts)?;
    /// assert_eq!(maps[0].row(0).len(), 3); // a weight for each word
    /// assert!((maps[1].row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without attention, or with several over different numbers of steps;
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Features`], [`Error::Token`]; and those of the layers and
    /// the device.
    pub fn attention_maps(&self, x: &Sequences) -> Result<Vec<AttentionMap>> {
        let Some(input_size) = self.input_size else { return Err(self.not_built()) };
        if input_size != x.features() {
            return Err(other_features(OP, input_size, x.features()));
        }
        self.check_input(x)?;
        let _aside = Aside::new(self);
        (0..x.len()).map(|row| self.map_of(x, row)).collect()
    }

    fn map_of(&self, x: &Sequences, row: usize) -> Result<AttentionMap> {
        let device = self.params.device();
        let batch = batch::batch(x, None, self.rows(), &[row], self.counting(), &device)?;
        // A stateful layer begins each sequence anew.
        self.reset_state();
        let tape = Tape::looking(&self.params);
        self.forward(&tape, &batch.x)?;
        AttentionMap::stacked(&tape.looks())?.ok_or_else(|| {
            let with = match tape.looks().is_empty() {
                true => "a model without attention",
                false => "attention over different numbers of steps",
            };
            let help = "there has to be an AttentionPool or an Attention in it, or several over the same steps";
            Error::Unsupported { what: OP, with, help }
        })
    }
}
