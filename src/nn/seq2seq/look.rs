//! What each token that was generated looked at.

use super::Seq2Seq;
use crate::autograd::Tape;
use crate::nn::{AttentionMap, Params};
use crate::{Error, Result};

impl Seq2Seq {
    /// For each row of `source` how much each token of `target`, and the end behind them, looks at each token of the
    /// row, given the tokens before it: `[target tokens + 1, source tokens]`. Keras' `return_attention_scores`.
    ///
    /// What the decoder looks at depends on the tokens alone, not on how they were found: with the tokens of
    /// [`Seq2Seq::greedy`] or of a [`Hypothesis`](super::Hypothesis) these are the weights by which it found them, with
    /// others those of teacher forcing. Without dropout. Waits for the device.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Params, Seq2Seq}};
    /// let params = Params::new(&Device::auto()?);
    /// let model = Seq2Seq::new(10, 5).embedding_size(4).hidden_size(8).build(&params)?;
    /// let read = [vec![3, 1, 7], vec![9]];
    /// let said = model.greedy(&params, &read, 6)?;
    /// let maps = model.attention_maps(&params, &read, &said)?;
    /// assert_eq!(maps[0].shape, [said[0].len() + 1, 3]);
    /// // Where there is but one token, all look at it.
    /// assert_eq!(maps[1].row(0), [1.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model without attention, and as [`Seq2Seq::forward`].
    pub fn attention_maps<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        params: &Params,
        source: &[S],
        target: &[T],
    ) -> Result<Vec<AttentionMap>> {
        if self.built()?.attention.is_none() {
            return Err(Error::Unsupported {
                what: "Seq2Seq::attention_maps",
                with: "Seq2Seq::no_attention",
                help: "such a decoder looks at no token: leave no_attention out, and train",
            });
        }
        if source.is_empty() && target.is_empty() {
            return Ok(Vec::new());
        }
        let tape = Tape::looking(params);
        self.features(&tape, source, target)?;
        let pairs = source.iter().zip(target);
        let shapes = pairs.map(|(s, t)| [t.as_ref().len() + 1, s.as_ref().len()]);
        match tape.looks().first() {
            Some(weights) => AttentionMap::of_batch(weights, shapes),
            None => Ok(Vec::new()),
        }
    }
}
