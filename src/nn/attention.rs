//! Attention over an encoder's outputs.

use super::functions::{matmul, parameter, zero_padding};
use super::{Init, Params, check_size, check_weights};
use crate::autograd::{Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::attention as op;
use crate::ops::sums::column_sum::column_sum;
use crate::{DType, Error, Result, Tensor};

/// The score of a query and a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Score {
    Dot,
    General,
    Additive { units: usize },
}

/// Attention: for each query a mean of the steps of a sequence, weighted by the softmax of their scores.
/// Steps past a row's length, or that its mask leaves out, have the weight 0. Queries at such steps of
/// their own sequence are read as zeros, and no gradient reaches them.
///
/// ```
/// use wgpu_lstm::{Device, Lengths, Tape, Tensor, Var, nn::{Attention, Params}};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// // 7 outputs of a decoder with 4 features look at 5 of an encoder with 6.
/// let attention = Attention::additive(8).build(&params, 4, 6)?;
/// let queries = Var::from(Tensor::zeros([2, 7, 4], &device)?);
/// let keys = Var::from(Tensor::zeros([2, 5, 6], &device)?)
///     .with_lengths(Some(Lengths::new(&[5, 3], &device)?));
/// let found = attention.forward(&Tape::new(&params), &queries, &keys)?;
/// assert_eq!(found.context.shape(), [2, 7, 6]);
/// assert_eq!(found.weights.to_vec()?[7 * 5..][..5], [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Attention {
    score: Score,
    built: Option<Built>,
}

#[derive(Debug, Clone, Copy)]
struct Built {
    query_size: usize,
    key_size: usize,
    /// `[Q,H]` in memory.
    query_weight: Option<ParamId>,
    key_weight: Option<ParamId>,
    score: Option<ParamId>,
}

/// The result of [`Attention`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attended {
    /// The weighted means: `[B,U,V]`, or `[B,V]` for queries `[B,Q]`.
    pub context: Var,
    /// The weights `[B,U,T]`, to inspect: no gradient flows through them.
    pub weights: Tensor,
}

impl Attention {
    /// `score = query . key` (Luong et al. 2015, arXiv 1508.04025): both have the same size.
    pub fn dot() -> Self {
        Self { score: Score::Dot, built: None }
    }

    /// `score = (W query) . key` (Luong et al. 2015).
    pub fn general() -> Self {
        Self { score: Score::General, built: None }
    }

    /// `score = v . tanh(W query + U key)`, with `units` elements between
    /// (Bahdanau et al. 2015, arXiv 1409.0473).
    pub fn additive(units: usize) -> Self {
        Self { score: Score::Additive { units }, built: None }
    }

    /// The layer with its parameters in `params`, for queries and keys of these sizes. All are Glorot
    /// uniform: none for `dot`; `attention.query_weight` `[K,Q]` for `general`;
    /// `attention.query_weight` `[units,Q]`, `attention.key_weight` `[units,K]` and `attention.score`
    /// `[units]` for `additive`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, and for sizes that differ with `dot`.
    pub fn build(mut self, params: &Params, query_size: usize, key_size: usize) -> Result<Self> {
        check_size("Attention::query_size", query_size)?;
        check_size("Attention::key_size", key_size)?;
        let units = match self.score {
            Score::Dot if query_size != key_size => {
                return Err(Error::Option {
                    option: "Attention::key_size",
                    found: key_size.to_string(),
                    expected: format!("{query_size}, as the query's; or Attention::general"),
                });
            }
            Score::Dot => None,
            Score::General => Some(key_size),
            Score::Additive { units } => Some(units),
        };
        let additive = matches!(self.score, Score::Additive { .. });
        if let Some(units) = units {
            check_size("Attention::units", units)?;
            check_weights(units, query_size.max(key_size))?;
        }
        let prefix = params.free_prefix("attention");
        let weight = |name: &str, rows: usize, columns: usize| -> Result<ParamId> {
            let values = Init::GlorotUniform.weight(params, [rows, columns], rows)?;
            let layout = Layout::Transposed { rows, columns };
            params.add(format!("{prefix}.{name}"), vec![columns, rows], layout, &values)
        };
        let mark = params.mark();
        let of_keys = units.filter(|_| additive);
        let score = |units| -> Result<ParamId> {
            let values = Init::GlorotUniform.weight(params, [units, 1], units)?;
            params.add(format!("{prefix}.score"), vec![units], Layout::Plain, &values)
        };
        let built = || -> Result<Built> {
            Ok(Built {
                query_size,
                key_size,
                query_weight: units.map(|n| weight("query_weight", query_size, n)).transpose()?,
                key_weight: of_keys.map(|n| weight("key_weight", key_size, n)).transpose()?,
                score: of_keys.map(score).transpose()?,
            })
        };
        // On an error no parameter of the layer stays behind.
        self.built = Some(built().inspect_err(|_| params.drop_since(mark))?);
        Ok(self)
    }

    /// Attends from `query` `[B,U,Q]` or `[B,Q]` to `keys` `[B,T,K]`, and averages the keys.
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; [`Error::Rank`], [`Error::Shape`], [`Error::Empty`],
    /// [`Error::OtherDevice`]; [`Error::Length`].
    pub fn forward(&self, tape: &Tape, query: &Var, keys: &Var) -> Result<Attended> {
        self.attend(tape, query, keys, None)
    }

    /// As [`Attention::forward`], but averages `values` `[B,T,V]`. The lengths or the mask are those of
    /// `keys`.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    pub fn forward_values(
        &self,
        tape: &Tape,
        query: &Var,
        keys: &Var,
        values: &Var,
    ) -> Result<Attended> {
        self.attend(tape, query, keys, Some(values))
    }

    /// Averages the keys, or values of their own.
    fn attend(&self, tape: &Tape, query: &Var, keys: &Var, own: Option<&Var>) -> Result<Attended> {
        let values = own.unwrap_or(keys);
        let Some(built) = self.built else {
            return Err(Error::NotBuilt { what: "this Attention", call: "build" });
        };
        let check = Check::new("attention", "a query, keys and values for each row");
        for (arg, x) in [("query", query), ("keys", keys), ("values", values)] {
            check.dtype(arg, x.tensor(), DType::F32)?;
        }
        let [b, t, _] = check.dims("keys", keys.tensor(), "[B,T,K]")?;
        let [_, _, v] = check.dims("values", values.tensor(), "[B,T,V]")?;
        let u = if let &[_, u, _] = query.shape() { Some(u) } else { None };
        match u {
            Some(u) => {
                check.dims::<3>("query", query.tensor(), "[B,U,Q]")?;
                check.shape("query", query.tensor(), "[B,U,Q]", &[b, u, built.query_size])?;
            }
            None => {
                check.dims::<2>("query", query.tensor(), "[B,U,Q] or [B,Q]")?;
                check.shape("query", query.tensor(), "[B,Q]", &[b, built.query_size])?;
            }
        }
        check.shape("keys", keys.tensor(), "[B,T,K]", &[b, t, built.key_size])?;
        check.shape("values", values.tensor(), "[B,T,V]", &[b, t, v])?;
        let others = [("keys", keys.tensor()), ("values", values.tensor())];
        check.device(query.tensor(), &others)?;
        let steps = keys.counted("attention", b, t)?;
        let weight = |id: ParamId, rows: usize| -> Result<Var> {
            let columns = match self.score {
                Score::Additive { units } => units,
                _ => built.key_size,
            };
            let weight = tape.parameter(id, &[rows, columns])?;
            check.device(query.tensor(), &[("weight", &weight.0)])?;
            Ok(parameter(tape, weight))
        };
        let mut q = zero_padding(tape, "attention", query)?;
        if let Some(id) = built.query_weight {
            q = matmul(tape, &q, &weight(id, built.query_size)?)?;
        }
        let mut k = zero_padding(tape, "attention", keys)?;
        let values = match own {
            Some(values) => zero_padding(tape, "attention", &values.clone().with_steps_of(keys))?,
            None => k.clone(),
        };
        if let Some(id) = built.key_weight {
            k = matmul(tape, &k, &weight(id, built.key_size)?)?;
        }
        let score = match (built.score, self.score) {
            (Some(id), Score::Additive { units }) => Some(tape.parameter(id, &[units])?),
            _ => None,
        };
        let h = k.shape()[2];
        let call = op::Attention {
            q: q.tensor().reshape([b, u.unwrap_or(1), h])?,
            k: k.tensor().clone(),
            values: values.tensor().clone(),
            score: score.as_ref().map(|s| s.0.clone()),
        };
        let (weights, context) = call.forward(&steps)?;
        tape.look(&weights);
        let shape = match u {
            Some(u) => vec![b, u, v],
            None => vec![b, v],
        };
        let context = context.reshape(shape)?;
        let ids = [tape.id(&q), tape.id(&k), tape.id(&values)];
        let wanted = score.is_some() || ids.iter().any(Option::is_some);
        let (saved, q_shape) = (weights.clone(), q.shape().to_vec());
        let context = tape.push_one(context, wanted, move |d_context, gradients| {
            let d = call.backward(&steps, &saved, d_context)?;
            if let (Some((_, sum)), Some(d_score)) = (score, d.score) {
                column_sum(&d_score, &sum)?;
            }
            gradients.add(ids[0], d.q.reshape(q_shape)?)?;
            gradients.add(ids[1], d.k)?;
            gradients.add(ids[2], d.values)
        });
        Ok(Attended { context: context.with_steps_of(query), weights })
    }
}
