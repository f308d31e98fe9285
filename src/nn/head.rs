//! A fully connected layer and a cross-entropy in one, at the end of a model of many classes.

use super::dense::{Dense, Taken};
use super::{Activation, Layer, Regularizer};
use crate::autograd::{Tape, Var};
use crate::loss::{CrossEntropy, Labels, RowWeights};
use crate::ops::loss::projected::{Projected, rows_at_a_time};
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::tensor::count;
use crate::{Error, Result, Tensor};

impl Dense {
    /// The mean cross-entropy of the layer's outputs before its softmax, if it has one, `[1]`: what
    /// [`CrossEntropy::loss`] gives of them. But where there are many rows and some thousand classes, as with a
    /// vocabulary, the logits `[..,C]` and their gradient are made for some rows at a time and never whole: those of
    /// 2,048 rows and 30,000 classes take 31 MB on the CPU instead of 492, and 123 on a GPU.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, Var, nn::{Dense, Params}, train::Adam};
    /// use wgpu_lstm::loss::{CrossEntropy, Labels};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let head = Dense::new(3000).build(&params, 8)?; // 3,000 words
    /// let mut adam = Adam::new(1e-2);
    /// let x = Var::from(Tensor::from_slice(&[0.5; 4 * 8], [4, 8], &device)?);
    /// // The word that comes next, for each of four rows.
    /// let words = Labels::new(&[17, 0, 2999, 17], &device)?;
    /// for _ in 0..3 {
    ///     let tape = Tape::new(&params);
    ///     let loss = head.cross_entropy(&tape, &x, &CrossEntropy::new(), &words, None)?;
    ///     tape.backward(&loss)?;
    ///     adam.step(&params)?;
    /// }
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an activation that leaves no logits; those of [`Layer::forward`] and of
    /// [`CrossEntropy::loss`].
    ///
    /// # Cost
    /// Where they are not whole, the backward pass makes the logits a second time: 8·N·I·C instead of 6·N·I·C FLOP.
    pub fn cross_entropy(
        &self,
        tape: &Tape,
        x: &Var,
        kind: &CrossEntropy,
        labels: &Labels,
        weights: Option<&RowWeights>,
    ) -> Result<Var> {
        if !self.leaves_logits() {
            return Err(Error::Unsupported {
                what: "Dense::cross_entropy",
                with: "an activation but Activation::Softmax",
                help: "the loss takes logits: leave out the activation",
            });
        }
        match self.part_by_part(tape, x, kind, labels, weights, None)? {
            Some((loss, _)) => Ok(loss),
            None => kind.loss(tape, &self.forward_logits(tape, x)?.0, labels, weights),
        }
    }

    /// Whether what goes into the activation are logits.
    fn leaves_logits(&self) -> bool {
        matches!(self.activation, Activation::Linear | Activation::Softmax)
    }

    /// The loss of [`Dense::cross_entropy`] where the logits are too many to be held, and the answers of all rows,
    /// with the log loss or without, if they are wanted; else `None`.
    pub(crate) fn part_by_part(
        &self,
        tape: &Tape,
        x: &Var,
        kind: &CrossEntropy,
        labels: &Labels,
        weights: Option<&RowWeights>,
        log_loss: Option<bool>,
    ) -> Result<Option<(Var, Option<Tensor>)>> {
        let classes = self.units;
        let is_plain = self.leaves_logits() && self.activity == Regularizer::default();
        let n = x.shape().split_last().map_or(0, |(_, rows)| count(rows));
        let rows = rows_at_a_time(n, classes, x.tensor().gpu().is_some());
        // Probabilities are as large as logits.
        let Some(rows) =
            rows.filter(|_| is_plain && !labels.are_soft() && !self.is_quantized(tape))
        else {
            return Ok(None);
        };
        let Taken { x, weight, d_weight, bias, tied } = self.take(tape, x)?;
        let (bias, d_bias) = bias.unzip();
        let wanted = kind.wanted(x.tensor(), [n, classes], labels, weights)?;
        let of = Projected { x: x.tensor().clone(), weight, tied, bias, wanted, rows };
        let (losses, stats, answers) = of.forward(log_loss)?;
        let loss = Tensor::empty([1], &losses.device())?;
        reduce_sum(&losses, 1.0, false, &loss)?;
        let id = tape.id(&x);
        let loss = tape.push_one(loss, true, move |d_loss, gradients| {
            match of.backward(&stats, d_loss, &d_weight, d_bias.as_ref(), id.is_some())? {
                Some(d_x) => gradients.add(id, d_x),
                None => Ok(()),
            }
        });
        Ok(Some((loss, answers)))
    }
}
