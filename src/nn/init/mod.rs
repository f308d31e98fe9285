//! First values of parameters; an error where there is no memory for them. All have the same bits on every
//! machine: of the functions that round differently from platform to platform, `libm` has one of its own.

mod normal;
mod orthogonal;

use super::Params;
use crate::tensor::room_for;
use crate::{Error, Result};
use normal::{normals, truncated_normals};
use orthogonal::orthonormal;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const WHAT: &str = "the first values of a parameter";

/// The first values of a parameter. The same seed gives the same bits on every machine.
///
/// What goes by `fan_in` and `fan_out` takes them, as Keras does, from the whole weight: for an LSTM's
/// `[4H,I]` they are I and 4H, not I and H for each gate; of an embedding they are the tokens and E, of a
/// bias of n values both are n.
///
/// ```
/// use wgpu_lstm::nn::{Dense, Init, Lstm, Params};
/// use wgpu_lstm::Device;
/// let params = Params::new(&Device::auto()?);
/// let lstm = Lstm::new(16).kernel_init(Init::Uniform { limit: 0.25 }).build(&params, 3)?;
/// assert!(params.get("lstm.weight_ih_l0")?.iter().all(|w| w.abs() <= 0.25));
/// let head = Dense::new(5).kernel_init(Init::HeNormal).build(&params, 16)?;
/// # let _ = (lstm, head);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Init {
    /// 0.
    Zeros,
    /// One value for all.
    Constant(f32),
    /// Uniform in ±`limit`: Keras' `RandomUniform`.
    Uniform {
        /// The largest value, of at least 0.
        limit: f32,
    },
    /// Normal, with the mean 0: Keras' `RandomNormal`.
    Normal {
        /// The standard deviation, of at least 0.
        std: f32,
    },
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot & Bengio 2010, AISTATS.
    GlorotUniform,
    /// Normal, with the variance 2 / (fan_in + fan_out); as Keras has it, cut off at ±2 standard deviations
    /// of the distribution before the cut, as are those that follow.
    GlorotNormal,
    /// Uniform in ±sqrt(6 / fan_in): He et al. 2015, arXiv 1502.01852.
    HeUniform,
    /// Normal, cut off, with the variance 2 / fan_in.
    HeNormal,
    /// Normal, cut off, with the variance 1 / fan_in: LeCun et al. 1998, "Efficient BackProp".
    LecunNormal,
    /// `gain` times a matrix that is drawn uniformly of those whose rows are orthonormal, or whose columns
    /// are if it has fewer: Saxe et al. 2014, arXiv 1312.6120; Keras' `Orthogonal`, PyTorch's `orthogonal_`.
    /// The matrix is what the layer multiplies by: an LSTM's `[H,4H]`, and a dense layer's `[I,units]`. Not
    /// for biases. It costs about 4 m² n operations for m rows of n values, on all threads of the CPU
    /// device: a second for an LSTM of 2048 units on two cores.
    Orthogonal {
        /// The length of each row.
        gain: f32,
    },
    /// What PyTorch's layers begin with: weights and biases uniform in ±1/sqrt(n), where n is the hidden size
    /// of a recurrent layer, and the input size of a dense one; an embedding is normal with the standard
    /// deviation 1. The bias of a recurrent layer, which is the sum of PyTorch's two, is the sum of two such
    /// numbers. [`Params::pytorch_init`], [`crate::Sequential::pytorch_init`] and [`super::Lstm::pytorch_init`] set it in
    /// one word.
    PyTorch,
}

impl Init {
    /// Checks the numbers; the argument is the path of the method that sets them.
    pub(super) fn check(self, option: &'static str) -> Result<()> {
        let (fits, expected) = match self {
            Self::Constant(value) | Self::Orthogonal { gain: value } => {
                (value.is_finite(), "a finite number in it")
            }
            Self::Uniform { limit: value } | Self::Normal { std: value } => {
                (value >= 0.0 && value.is_finite(), "a finite number of at least 0 in it")
            }
            _ => (true, ""),
        };
        if fits {
            return Ok(());
        }
        Err(Error::Option { option, found: format!("{self:?}"), expected: expected.into() })
    }

    /// What PyTorch's layers begin with, if these parameters are to begin so and this is but a layer's default; else this.
    pub(super) fn or_pytorch(self, default: Self, params: &Params) -> Self {
        if self == default && params.begins_as_pytorch() { Self::PyTorch } else { self }
    }

    /// As [`Self::check`], for biases.
    pub(super) fn check_bias(self, option: &'static str) -> Result<()> {
        if let Self::Orthogonal { .. } = self {
            let expected = "another, since a bias is no matrix".into();
            return Err(Error::Option { option, found: format!("{self:?}"), expected });
        }
        self.check(option)
    }

    /// The values of the next weight of `params`, `[fan_in, fan_out]`, of a layer for which PyTorch goes by
    /// `size`.
    pub(super) fn weight(
        self,
        params: &Params,
        [fan_in, fan_out]: [usize; 2],
        size: usize,
    ) -> Result<Vec<f32>> {
        let len = fan_in.saturating_mul(fan_out);
        params.first_values(len, |rng| match self {
            Self::Orthogonal { gain } => {
                params.device().on_host(|| orthogonal(&rng, [fan_in, fan_out], gain))
            }
            _ => self.values(rng, len, [fan_in, fan_out], size),
        })
    }

    /// The values of the next kernel of `params`, `[terms, outputs]`, of a convolution with windows of `size` frames:
    /// Keras counts to `fan_out` what an input frame comes to in all of them.
    pub(super) fn kernel(
        self,
        params: &Params,
        [terms, outputs]: [usize; 2],
        size: usize,
    ) -> Result<Vec<f32>> {
        if let Self::Orthogonal { .. } = self {
            return self.weight(params, [terms, outputs], terms);
        }
        let len = terms.saturating_mul(outputs);
        params.first_values(len, |rng| self.values(rng, len, [terms, size * outputs], terms))
    }

    /// The `len` values of the next bias of `params`, which is the sum of `terms` of PyTorch's.
    pub(super) fn bias(
        self,
        params: &Params,
        len: usize,
        size: usize,
        terms: usize,
    ) -> Result<Vec<f32>> {
        if self != Self::PyTorch {
            return params.first_values(len, |rng| self.values(rng, len, [len; 2], size));
        }
        let all = len.saturating_mul(terms);
        let mut drawn = params.first_values(all, |rng| self.values(rng, all, [len; 2], size))?;
        let (sums, others) = drawn.split_at_mut(len);
        for other in others.chunks_exact(len.max(1)) {
            sums.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
        }
        drawn.truncate(len);
        Ok(drawn)
    }

    fn values(
        self,
        mut rng: ChaCha8Rng,
        len: usize,
        fans: [usize; 2],
        size: usize,
    ) -> Result<Vec<f32>> {
        let [fan_in, fan_out] = fans.map(|fan| fan as f64);
        let uniform = |limit: f64, rng: &mut ChaCha8Rng| {
            let next = || (limit * (2.0 * rng.random::<f64>() - 1.0)) as f32;
            fill(len, std::iter::repeat_with(next))
        };
        let within = |value: f64| value.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
        let truncated = |variance: f64, rng: &mut ChaCha8Rng| {
            let std = variance.sqrt();
            fill(len, truncated_normals(rng).map(|x| (std * x) as f32))
        };
        match self {
            Self::Zeros => repeated(&[0.0], len),
            Self::Constant(value) => repeated(&[value], len),
            Self::Uniform { limit } => {
                let next = || limit * (2.0 * rng.random::<f32>() - 1.0);
                fill(len, std::iter::repeat_with(next))
            }
            Self::Normal { std } => {
                fill(len, normals(&mut rng).map(|x| within(f64::from(std) * x)))
            }
            Self::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt(), &mut rng),
            Self::HeUniform => uniform((6.0 / fan_in).sqrt(), &mut rng),
            Self::GlorotNormal => truncated(2.0 / (fan_in + fan_out), &mut rng),
            Self::HeNormal => truncated(2.0 / fan_in, &mut rng),
            Self::LecunNormal => truncated(1.0 / fan_in, &mut rng),
            Self::PyTorch => uniform((1.0 / size as f64).sqrt(), &mut rng),
            Self::Orthogonal { gain } => orthogonal(&rng, fans, gain),
        }
    }
}

/// `gain` times a matrix `[rows, columns]` with orthonormal rows, or columns if it has fewer.
fn orthogonal(rng: &ChaCha8Rng, [rows, columns]: [usize; 2], gain: f32) -> Result<Vec<f32>> {
    let mut values = if rows <= columns {
        orthonormal(rng, rows, columns)?
    } else {
        let turned = orthonormal(rng, columns, rows)?;
        let mut values = room_for(WHAT, turned.len())?;
        for row in 0..rows {
            values.extend(turned[row..].iter().step_by(rows));
        }
        values
    };
    if gain != 1.0 {
        values.iter_mut().for_each(|value| *value *= gain);
    }
    Ok(values)
}

/// The first `len` of some values.
fn fill(len: usize, from: impl Iterator<Item = f32>) -> Result<Vec<f32>> {
    let mut values: Vec<f32> = room_for(WHAT, len)?;
    values.extend(from.take(len));
    Ok(values)
}

/// The values `of`, repeated `times` times.
pub(super) fn repeated(of: &[f32], times: usize) -> Result<Vec<f32>> {
    let mut values: Vec<f32> = room_for(WHAT, of.len().saturating_mul(times))?;
    for _ in 0..times {
        values.extend_from_slice(of);
    }
    Ok(values)
}

/// The biases that let units forget after times that are spread up to `timesteps`, and keep what they let in
/// for as long: `[hidden_size, 4]`, of which those of i are -b and those of f b = log(u), with u uniform from 1
/// to `timesteps - 1`. The others are `rest`'s. Tallec & Ollivier 2018, arXiv 1804.11188, equation 16.
pub(super) fn chrono(params: &Params, timesteps: usize, rest: &mut [f32]) {
    // Behind all numbers of the values that are there.
    let mut rng = params.rng();
    rng.set_word_pos(1 << 64);
    for gates in rest.chunks_exact_mut(4) {
        let u = 1.0 + (timesteps - 2) as f64 * rng.random::<f64>();
        gates[1] = libm::log(u) as f32;
        gates[0] = -gates[1];
    }
}

#[cfg(test)]
mod tests;
