//! Likelihoods: losses of models that predict a distribution of each target.

mod cumulative;
mod forecast;

use super::{RowWeights, record, rows, scale};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::ops::loss::density_loss::{self, Kind};
use crate::{DType, Error, Result, Tensor};

/// A distribution whose parameters a model predicts, so that a forecast says how sure it is. The loss is the negative
/// log likelihood of the targets, -log p(y); [`crate::train::Loss::Likelihood`] takes it in
/// [`crate::Sequential::fit`], and [`Distribution::loss`] in loops of your own. What the outputs say is told on the
/// host by [`Distribution::mean`], [`Distribution::quantile`], [`Distribution::interval`],
/// [`Distribution::sample`] and [`Distribution::log_probability`], of one row of outputs or of all of a
/// [`crate::train::Prediction`].
///
/// The last layer is a [`crate::nn::Dense`] without activation, of [`Distribution::outputs`] units: the outputs of
/// the first target (or group of targets), then those of the second. An output is any number; what has to be
/// positive is softplus of it plus 1e-6, which keeps densities finite.
///
/// Outputs of about 0 are where a training begins, so targets of about 1 are learned soonest: scale numbers by
/// [`crate::data::Standardizer`]. Counts stay counts; where they are some hundreds, a higher rate of the last layer
/// ([`crate::nn::Params::group`]) gets there sooner.
///
/// ```
/// use wgpu_lstm::loss::Distribution;
/// use wgpu_lstm::prelude::*;
/// let x = Sequences::from_array(&[0.5; 8 * 4], [8, 4, 1])?;
/// let y = Targets::values([3.0, 0.0, 1.0, 2.0, 2.0, 5.0, 0.0, 1.0], 1);
/// let sales = Distribution::NegativeBinomial;
/// let head = Dense::new(sales.outputs(1)?);
/// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(head);
/// model.compile(Adam::default(), Loss::Likelihood(sales), &[]);
/// model.fit(&x, &y, Fit::new().epochs(2).quiet())?;
/// let forecast = model.predict(&x)?;
/// // Of each sequence: the mean, what nine of ten sales are not above, and a scenario.
/// let mean = sales.mean(forecast.values())?;
/// let enough = sales.quantile(forecast.values(), 0.9)?;
/// let scenario = sales.sample(forecast.values(), 7)?;
/// assert_eq!((mean.len(), enough.len(), scenario.len()), (8, 8, 8));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Source
/// DeepAR: Salinas et al. 2020 (arXiv 1704.04110) for numbers and counts; Bishop 1994 and Graves 2013 (arXiv
/// 1308.0850) for mixtures. PyTorch: `torch.distributions`, of which `-log_prob` is this loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distribution {
    /// The normal distribution (Gauss) of each target. Two outputs: its mean, and its standard deviation, which is
    /// positive.
    Normal,
    /// Student's t distribution of each target, which outliers affect less. Three outputs: its location, its scale,
    /// and how far its degrees of freedom are above 2; the latter two are positive.
    StudentT,
    /// The negative binomial distribution of each target, a count of at least 0. Two outputs, both positive: the mean
    /// m, and the shape a, for a variance of m + a m². PyTorch's has `total_count` 1 / a and the logits log(a m).
    NegativeBinomial,
    /// A mixture of normal distributions of each group of so many targets: one density of all of them together, with
    /// several peaks, each of which has axes of its own. K (1 + 2 D) outputs of a group of D targets: K logits of the
    /// components, their K means of D numbers, and their K standard deviations of D numbers, which are positive.
    Mixture {
        /// The components K, at least 1.
        components: usize,
        /// The targets D of a group: 1 for a mixture of each target by itself.
        targets: usize,
    },
    /// The steps of a pen, of three targets each: how far it moves right and up, and 1 at the end of a stroke, else 0.
    /// The moves are a mixture of normal distributions that are correlated, the end is yes or no (Graves 2013,
    /// equations 17 to 26). 6 K + 1 outputs: those of [`Distribution::Mixture`] of two numbers, the K correlations, each
    /// as 0.9999 tanh of its output, and the logit of the end.
    Strokes {
        /// The components K, at least 1: Graves takes 20.
        components: usize,
    },
}

impl Distribution {
    /// The outputs that the last layer has for a row of so many targets.
    ///
    /// ```
    /// use wgpu_lstm::loss::Distribution;
    /// assert_eq!(Distribution::StudentT.outputs(2)?, 6);
    /// assert_eq!(Distribution::Mixture { components: 5, targets: 2 }.outputs(2)?, 25);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a mixture without components or of no targets, and for targets that make no whole
    /// groups.
    pub fn outputs(&self, targets: usize) -> Result<usize> {
        self.check()?;
        let each = self.kind().targets();
        if targets == 0 || !targets.is_multiple_of(each) {
            return Err(Error::Option {
                option: "Distribution::outputs::targets",
                found: targets.to_string(),
                expected: format!("a multiple of {each}, the targets that it takes together"),
            });
        }
        Ok((targets / each).saturating_mul(self.kind().outputs()))
    }

    /// The op's.
    fn kind(&self) -> Kind {
        match *self {
            Self::Normal => Kind::Normal,
            Self::StudentT => Kind::StudentT,
            Self::NegativeBinomial => Kind::NegativeBinomial,
            Self::Mixture { components, targets } => Kind::Mixture { components, targets },
            Self::Strokes { components } => Kind::Strokes { components },
        }
    }

    /// The outputs of a group, and its targets.
    pub(crate) fn group(&self) -> [usize; 2] {
        [self.kind().outputs(), self.kind().targets()]
    }

    /// Checks the options.
    pub(crate) fn check(&self) -> Result<()> {
        let (option, sizes): (_, &[usize]) = match self {
            Self::Mixture { components, targets } => {
                ("Distribution::Mixture", &[*components, *targets])
            }
            Self::Strokes { components } => ("Distribution::Strokes", &[*components]),
            _ => return Ok(()),
        };
        let most = 1 << 12;
        if sizes.iter().all(|size| (1..=most).contains(size)) {
            return Ok(());
        }
        let expected = format!("of sizes from 1 to {most}");
        Err(Error::Option { option, found: format!("{self:?}"), expected })
    }

    /// Checks targets of so many columns for a model with so many outputs, 0 if that is not known yet; `name` names a
    /// row of them.
    pub(crate) fn check_targets(
        &self,
        values: &[f32],
        columns: usize,
        width: usize,
        name: impl Fn(usize) -> String,
    ) -> Result<()> {
        let wanted = self.outputs(columns)?;
        if width > 0 && wanted != width {
            return Err(Error::Option {
                option: "Targets::width",
                found: columns.to_string(),
                expected: format!(
                    "what {width} outputs of the last layer have parameters for; make them {wanted}, by \
                     Distribution::outputs"
                ),
            });
        }
        let Some(at) = values.iter().position(|v| !v.is_finite()) else {
            let refused = |(at, &v): (usize, &f32)| Some((at, v, self.refuses(at % columns, v)?));
            return match values.iter().enumerate().find_map(refused) {
                Some((at, found, expected)) => {
                    Err(Error::Target { at, found, expected }.at(name(at / columns)))
                }
                None => Ok(()),
            };
        };
        Err(Error::NotFinite {
            what: "a target",
            place: format!("value {at} ({})", name(at / columns)),
            help: "replace what is missing before training",
        })
    }

    /// What a target in this column should be, if it is something else.
    fn refuses(&self, column: usize, target: f32) -> Option<&'static str> {
        match self {
            Self::NegativeBinomial if target < 0.0 || target.fract() != 0.0 => {
                Some("a count, a whole number of at least 0")
            }
            Self::Strokes { .. } if column % 3 == 2 && !(0.0..=1.0).contains(&target) => {
                Some("1 at the end of a stroke, else 0")
            }
            _ => None,
        }
    }

    /// The negative log likelihood -log p(y), as a mean over the targets, or over the groups of targets that have one
    /// density: `[1]`. `prediction` is `[..,C·P]` and `targets` `[..,C·D]` of C groups of D targets with P outputs:
    /// [`Distribution::outputs`].
    ///
    /// A count below 0 gives NaN; one that is no whole number the density between the counts.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, loss::Distribution, nn::Params};
    /// let device = Device::auto()?;
    /// let tape = Tape::new(&Params::new(&device));
    /// // The mean 1, and the deviation softplus(0.541325) = 1.
    /// let x = tape.input(Tensor::from_slice(&[1.0, 0.541_325], [1, 2], &device)?);
    /// let y = Tensor::from_slice(&[3.0], [1, 1], &device)?;
    /// let loss = Distribution::Normal.loss(&tape, &x, &y, None)?;
    /// // Two deviations away: 2² / 2 + log √(2π).
    /// assert!((loss.tensor().to_vec()?[0] - 2.918_939).abs() < 1e-4);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a mixture without components; [`Error::Shape`] if the prediction has not so many outputs
    /// for the targets; and as [`super::binary_cross_entropy`].
    pub fn loss(
        &self,
        tape: &Tape,
        prediction: &Var,
        targets: &Tensor,
        weights: Option<&RowWeights>,
    ) -> Result<Var> {
        const OP: &str = "Distribution::loss";
        self.check()?;
        let (kind, x) = (self.kind(), prediction.tensor());
        let (count, columns) = rows(OP, x)?;
        let (each, mut shape) = (columns / kind.outputs(), x.shape().to_vec());
        let check = Check::new(OP, "Distribution::outputs says how many outputs targets have");
        if each == 0 || !columns.is_multiple_of(kind.outputs()) {
            let found = targets.shape().last().copied().unwrap_or(1) / kind.targets();
            check.features("prediction", x, "[..,C*P]", found.max(1) * kind.outputs())?;
        }
        if let Some(last) = shape.last_mut() {
            *last = each * kind.targets();
        }
        check.dtype("targets", targets, DType::F32)?;
        check.shape("targets", targets, "[..,C*D]", &shape)?;
        check.device(x, &[("targets", targets)])?;
        let wanted = density_loss::Wanted {
            kind,
            y: targets.clone(),
            each,
            weights: weights.map(|w| w.shares.tensor.clone()),
            scale: scale(OP, x, count, weights, each)?,
        };
        let losses = density_loss::forward(x, &wanted)?;
        record(tape, prediction, &losses, move |x, d_loss| {
            density_loss::backward(x, &wanted, d_loss)
        })
    }
}
