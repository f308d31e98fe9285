//! Attention of queries over the steps of a sequence, and its gradients.
//!
//! scores = q k^T (Luong et al. 2015), or score . tanh(q + k) (Bahdanau et al. 2015);
//! weights = softmax over the steps that count of the scores, 0 at the others; context = weights values.

mod cpu;
pub(crate) mod gpu;

use crate::lengths::Counted;
use crate::{Result, Tensor};

/// What attends to what.
#[derive(Clone)]
pub(crate) struct Attention {
    /// `[B,U,H]`.
    pub(crate) q: Tensor,
    /// `[B,T,H]`, with zeros at steps that do not count: NaN times a weight of zero is NaN.
    pub(crate) k: Tensor,
    /// `[B,T,V]`, with zeros there too.
    pub(crate) values: Tensor,
    /// `[H]`: scores are additive if there is one, else products.
    pub(crate) score: Option<Tensor>,
}

/// The gradients of each. Those of keys and values mean nothing at steps that do not count.
pub(crate) struct Gradients {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) values: Tensor,
    /// `[B,groups,H]`: a part of it from each of some groups of queries.
    pub(crate) score: Option<Tensor>,
}

#[derive(Clone, Copy)]
struct Dims {
    b: usize,
    u: usize,
    t: usize,
    h: usize,
    v: usize,
}

impl Attention {
    fn dims(&self) -> Dims {
        let (q, k) = (self.q.shape(), self.k.shape());
        Dims { b: q[0], u: q[1], t: k[1], h: q[2], v: self.values.shape()[2] }
    }

    /// The weights `[B,U,T]` of the steps that count, and the contexts `[B,U,V]`.
    pub(crate) fn forward(&self, steps: &Counted) -> Result<(Tensor, Tensor)> {
        let Dims { b, u, t, v, .. } = self.dims();
        let weights = Tensor::empty([b, u, t], &self.q.device())?;
        let context = Tensor::empty([b, u, v], &self.q.device())?;
        match self.q.gpu() {
            Some(gpu) => self.forward_on(gpu, steps, &weights, &context)?,
            None => self.forward_here(steps, &weights, &context),
        }
        Ok((weights, context))
    }

    /// From the weights of the forward pass and the gradient of the contexts.
    pub(crate) fn backward(
        &self,
        steps: &Counted,
        weights: &Tensor,
        d_context: &Tensor,
    ) -> Result<Gradients> {
        let Dims { b, u, t, h, .. } = self.dims();
        let device = self.q.device();
        let groups = if self.q.gpu().is_some() { u.div_ceil(gpu::group(u)) } else { 1 };
        let d_score = self.score.as_ref().map(|_| Tensor::empty([b, groups, h], &device));
        let d = Gradients {
            q: Tensor::empty(self.q.shape(), &device)?,
            k: Tensor::empty(self.k.shape(), &device)?,
            values: Tensor::empty(self.values.shape(), &device)?,
            score: d_score.transpose()?,
        };
        let d_scores = Tensor::empty([b, u, t], &device)?;
        match self.q.gpu() {
            Some(gpu) => self.backward_on(gpu, steps, weights, d_context, &d_scores, &d)?,
            None => self.backward_here(steps, weights, d_context, &d_scores, &d)?,
        }
        Ok(d)
    }
}
