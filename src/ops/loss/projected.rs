//! A projection y = x W + b onto many classes with its cross-entropy, some rows at a time. The logits of a
//! large vocabulary are larger than all else of a training step together, and their gradients once more; here
//! those of a few rows alone are ever there. The backward pass makes them again: one product more, and
//! nothing is kept but x and two numbers of each row.

use super::answers::{self, answers};
use super::cross_entropy::{self, Wanted};
use crate::ops::elementwise::copy::copy;
use crate::ops::gemm::{Gemm, Matrix, add_slopes};
use crate::ops::sums::column_sum::column_sum;
use crate::{Result, Tensor};
use std::ops::Range;

/// The logits that are made at a time: on the CPU, few enough to be read again from its last cache.
const ON_CPU: usize = 1 << 22;
/// And on a GPU, whose products want many rows.
const ON_GPU: usize = 1 << 24;
/// Bindings of the labels begin at a multiple of so many rows. With fewer the products would do little but read
/// W, beside which the logits of so many rows are no larger where x has as many features.
const ROWS: usize = 64;

/// A projection, and what is wanted of its outputs.
pub(crate) struct Projected {
    /// `[..,I]`
    pub(crate) x: Tensor,
    /// `[I,C]`, or `[C,I]` if it is tied to an embedding.
    pub(crate) weight: Tensor,
    pub(crate) tied: bool,
    /// `[C]`, if there is one.
    pub(crate) bias: Option<Tensor>,
    pub(crate) wanted: Wanted,
    /// The rows that are worked on at a time: [`rows_at_a_time`].
    pub(crate) rows: usize,
}

/// The classes of a vocabulary. The logits of fewer are about as large as what layers keep of a row anyway: to
/// make them twice takes a quarter more time, and saves little.
const CLASSES: usize = 1 << 12;

/// How many of `n` rows are worked on at a time; `None` where the logits are better made whole. Of sizes alone, as
/// the order of all sums is.
pub(crate) fn rows_at_a_time(n: usize, classes: usize, gpu: bool) -> Option<usize> {
    let logits = if gpu { ON_GPU } else { ON_CPU };
    let rows = (logits / classes.max(1) / ROWS * ROWS).max(ROWS);
    (classes >= CLASSES && n > rows).then_some(rows)
}

impl Projected {
    /// `scale * w * loss` of each row, `[N]`; what the backward pass needs of each, `[N,2]`; and [`answers()`], with
    /// the log loss or without, if they are wanted.
    pub(crate) fn forward(
        &self,
        log_loss: Option<bool>,
    ) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let (n, device) = (self.len(), self.x.device());
        let losses = Tensor::empty([n], &device)?;
        let stats = Tensor::empty([n, 2], &device)?;
        let width = answers::WIDTH;
        let found = log_loss.map(|_| Tensor::empty([n, width], &device)).transpose()?;
        let logits = self.room()?;
        for rows in self.parts() {
            let (logits, wanted) = (self.logits(&rows, &logits)?, self.wanted(&rows));
            let (own_losses, own_stats) = cross_entropy::forward(&logits, &wanted)?;
            copy(&own_losses, &losses.view(rows.start, [rows.len()]))?;
            copy(&own_stats, &stats.view(2 * rows.start, [rows.len(), 2]))?;
            if let (Some(found), Some(log_loss)) = (&found, log_loss) {
                let own = found.view(rows.start * width, [rows.len(), width]);
                let Wanted { labels, weights, .. } = &wanted;
                copy(&answers(&logits, labels, weights.as_ref(), log_loss)?, &own)?;
            }
        }
        Ok((losses, stats, found))
    }

    /// Adds to the gradients of weight and bias, given the forward pass' second result and the gradient of the sum of
    /// the losses (`[1]`); the gradient of `x`, if it is wanted.
    pub(crate) fn backward(
        &self,
        stats: &Tensor,
        d_loss: &Tensor,
        d_weight: &Tensor,
        d_bias: Option<&Tensor>,
        wants_d_x: bool,
    ) -> Result<Option<Tensor>> {
        let (features, classes) = (self.features(), self.classes());
        let d_x = wants_d_x.then(|| Tensor::empty(self.x.shape(), &self.x.device())).transpose()?;
        let logits = self.room()?;
        for rows in self.parts() {
            let (first, m) = (rows.start * features, rows.len());
            let logits = self.logits(&rows, &logits)?;
            let stats = stats.view(2 * rows.start, [m, 2]);
            let d_logits = cross_entropy::backward(&logits, &self.wanted(&rows), &stats, d_loss)?;
            let mixed = self.weight.is_half();
            let d = Matrix::new(&d_logits, classes).rounded(mixed);
            let x = Matrix::new(&self.x, features).skip(first).rounded(mixed);
            add_slopes(x, d, m, [features, classes], d_weight, self.tied)?;
            if let Some(d_bias) = d_bias {
                column_sum(&d_logits, d_bias)?;
            }
            if let Some(d_x) = &d_x {
                Gemm { m, n: features, k: classes, bias: None, accumulate: false }.run(
                    d,
                    Matrix::of_units(&self.weight, [features, classes], self.tied).t(),
                    Matrix::new(d_x, features).skip(first),
                )?;
            }
        }
        Ok(d_x)
    }

    fn features(&self) -> usize {
        self.weight.len() / self.classes()
    }

    fn classes(&self) -> usize {
        self.weight.shape()[usize::from(!self.tied)]
    }

    /// The rows of `x`.
    fn len(&self) -> usize {
        self.x.len() / self.features()
    }

    fn parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, each) = (self.len(), self.rows);
        (0..n).step_by(each).map(move |first| first..n.min(first + each))
    }

    /// Room for the logits of the rows of a part.
    fn room(&self) -> Result<Tensor> {
        Tensor::empty([self.rows.min(self.len()), self.classes()], &self.x.device())
    }

    /// Makes the logits of these rows, in `room`.
    fn logits(&self, rows: &Range<usize>, room: &Tensor) -> Result<Tensor> {
        let (k, n, m) = (self.features(), self.classes(), rows.len());
        let logits = room.view(0, [m, n]);
        Gemm { m, n, k, bias: self.bias.as_ref(), accumulate: false }.run(
            Matrix::new(&self.x, k).skip(rows.start * k),
            Matrix::of_units(&self.weight, [k, n], self.tied),
            Matrix::new(&logits, n),
        )?;
        Ok(logits)
    }

    /// What is wanted of these rows.
    fn wanted(&self, rows: &Range<usize>) -> Wanted {
        let of = |all: &Tensor| all.view(rows.start, [rows.len()]);
        let Wanted { labels, weights, class_weights, .. } = &self.wanted;
        let (labels, weights) = (of(labels), weights.as_ref().map(of));
        Wanted { labels, weights, class_weights: class_weights.clone(), ..self.wanted }
    }
}
