//! What the outputs of a model say of a distribution, on the host.

use super::Distribution;
use super::cumulative::{above, inverse, negative_binomial, normal, student_t};
use crate::ops::loss::density_loss::{correlation, positive, sigmoid};
use crate::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution as _, Gamma, Poisson, StandardNormal, StudentT};

/// The parts of a mixture of one number: the share of each, its mean and its deviation.
type Parts = Vec<[f64; 3]>;

/// A distribution of one target by itself.
enum One {
    Normal {
        mean: f64,
        deviation: f64,
    },
    StudentT {
        location: f64,
        scale: f64,
        freedom: f64,
    },
    NegativeBinomial {
        mean: f64,
        shape: f64,
    },
    Mixture(Parts),
    /// 1 with this probability, else 0.
    Yes(f64),
}

impl Distribution {
    /// The mean of each target, of `outputs` of one row or several, such as all
    /// [`crate::train::Prediction::values`].
    ///
    /// # Errors
    /// [`Error::Option`] for a mixture without components, [`Error::Count`] for outputs of no whole groups.
    pub fn mean(&self, outputs: &[f32]) -> Result<Vec<f32>> {
        self.each(outputs, |one| match one {
            One::Normal { mean, .. } | One::NegativeBinomial { mean, .. } | One::Yes(mean) => mean,
            One::StudentT { location, .. } => location,
            One::Mixture(parts) => parts.iter().map(|[share, mean, _]| share * mean).sum(),
        })
    }

    /// The number that each target is at most with the probability `p`: 0.5 gives the medians. A count is the
    /// least one of which that is true; a target of several is taken by itself.
    ///
    /// ```
    /// use wgpu_lstm::loss::Distribution;
    /// // A mean of 10, and a deviation of 2.
    /// let outputs = [10.0, 1.854_586];
    /// let least = Distribution::Normal.quantile(&outputs, 0.025)?;
    /// assert!((least[0] - (10.0 - 1.96 * 2.0)).abs() < 1e-3);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if `p` is not between 0 and 1; and as [`Distribution::mean`].
    pub fn quantile(&self, outputs: &[f32], p: f32) -> Result<Vec<f32>> {
        check_between("Distribution::quantile::p", p)?;
        let p = f64::from(p);
        let z = inverse(p, -40.0, 40.0, normal);
        self.each(outputs, |one| match one {
            One::Normal { mean, deviation } => mean + z * deviation,
            One::StudentT { location, scale, freedom } => {
                // Of the upper half, of which the lower is the mirror image.
                let upper = p.max(1.0 - p);
                let up_to = |t| student_t(freedom, t);
                let t = inverse(upper, 0.0, above(upper, 1.0, up_to), up_to);
                location + if p < 0.5 { -t } else { t } * scale
            }
            One::NegativeBinomial { mean, shape } => {
                let up_to = |k| negative_binomial(mean, shape, k);
                if up_to(0.0) >= p {
                    return 0.0;
                }
                // A number that a count rounds up to.
                inverse(p, 0.0, above(p, 1.0, up_to), |k| up_to(k.ceil())).ceil()
            }
            One::Mixture(parts) => {
                let ends = parts.iter().map(|[_, mean, deviation]| mean + z * deviation);
                let low = ends.clone().fold(f64::INFINITY, f64::min);
                let high = ends.fold(f64::NEG_INFINITY, f64::max);
                let of = |x: f64| move |[share, mean, d]: &[f64; 3]| share * normal((x - mean) / d);
                inverse(p, low, high, |x| parts.iter().map(of(x)).sum())
            }
            One::Yes(yes) => f64::from(u8::from(p > 1.0 - yes)),
        })
    }

    /// The bounds between which each target lies with the probability `share`, as likely below as above: the lower
    /// ones, and the upper ones. [`crate::train::metrics::coverage`] says how many targets do lie there.
    ///
    /// ```
    /// use wgpu_lstm::{loss::Distribution, train::metrics::coverage};
    /// let outputs = [0.0, 1.0, 5.0, 1.0];
    /// let [low, high] = Distribution::Normal.interval(&outputs, 0.8)?;
    /// assert_eq!(coverage(&low, &high, &[0.5, 9.0])?, 0.5);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if `share` is not between 0 and 1; and as [`Distribution::mean`].
    pub fn interval(&self, outputs: &[f32], share: f32) -> Result<[Vec<f32>; 2]> {
        check_between("Distribution::interval::share", share)?;
        let outside = 0.5 * (1.0 - share);
        Ok([self.quantile(outputs, outside)?, self.quantile(outputs, 1.0 - outside)?])
    }

    /// A target for each that was predicted, drawn at random: the same for the same seed. Targets of a group are drawn
    /// together.
    ///
    /// ```
    /// use wgpu_lstm::loss::Distribution;
    /// let pen = Distribution::Strokes { components: 1 };
    /// let step = pen.sample(&[0.0, 3.0, -1.0, -20.0, -20.0, 0.0, 20.0], 1)?;
    /// assert!((step[0] - 3.0).abs() < 1e-4 && (step[1] + 1.0).abs() < 1e-4 && step[2] == 1.0);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Distribution::mean`].
    pub fn sample(&self, outputs: &[f32], seed: u64) -> Result<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn = Vec::new();
        for x in self.groups(outputs)? {
            if let Some(nan) = x.iter().find(|x| x.is_nan()) {
                drawn.extend(std::iter::repeat_n(*nan, self.group()[1]));
                continue;
            }
            match *self {
                Self::Mixture { components, targets } => {
                    let k = component(&shares(&x[..components]), rng.random());
                    drawn.extend((0..targets).map(|d| {
                        let [mean, deviation] = place(x, [components, targets], k, d);
                        (mean + deviation * standard(&mut rng)) as f32
                    }));
                }
                Self::Strokes { components } => {
                    let k = component(&shares(&x[..components]), rng.random());
                    let [a, b] = [0, 1].map(|d| place(x, [components, 2], k, d));
                    let r = correlation(x[5 * components + k].into());
                    let (u, v) = (standard(&mut rng), standard(&mut rng));
                    let across = r * u + ((1.0 - r) * (1.0 + r)).sqrt() * v;
                    let end = rng.random::<f64>() < sigmoid(x[6 * components].into());
                    let moves = [a[0] + a[1] * u, b[0] + b[1] * across].map(|v| v as f32);
                    drawn.extend([moves[0], moves[1], f32::from(end)]);
                }
                _ => drawn.extend(self.ones(x).into_iter().map(|one| one.draw(&mut rng) as f32)),
            }
        }
        Ok(drawn)
    }

    /// log p of each target, or of each group of targets that have one density: of `outputs` of one row or several,
    /// and their `targets`. The mean of its negative is the loss.
    ///
    /// ```
    /// use wgpu_lstm::loss::Distribution;
    /// // The probability of two sales, of a mean of about 2 and no more variance than a Poisson distribution has.
    /// let log_p = Distribution::NegativeBinomial.log_probability(&[1.854_586, -20.0], &[2.0])?;
    /// assert!((log_p[0].exp() - 2.0 * (-2.0_f64).exp()).abs() < 1e-5);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Distribution::mean`]; [`Error::Count`] for another number of targets.
    pub fn log_probability(&self, outputs: &[f32], targets: &[f32]) -> Result<Vec<f64>> {
        let (groups, each) = (self.groups(outputs)?, self.group()[1]);
        let expected = groups.len().saturating_mul(each);
        if targets.len() != expected {
            let (op, found) = ("Distribution::log_probability", targets.len());
            return Err(Error::Count { op, shape: vec![groups.len(), each], expected, found });
        }
        let kind = self.kind();
        Ok(groups.zip(targets.chunks_exact(each)).map(|(x, y)| -kind.loss(x, y)).collect())
    }

    /// The outputs of each group.
    fn groups<'a>(&self, outputs: &'a [f32]) -> Result<std::slice::ChunksExact<'a, f32>> {
        self.check()?;
        let each = self.group()[0];
        if !outputs.len().is_multiple_of(each) {
            let groups = outputs.len().div_ceil(each);
            let (expected, found) = (groups.saturating_mul(each), outputs.len());
            let (op, shape) = ("Distribution", vec![groups, each]);
            return Err(Error::Count { op, shape, expected, found });
        }
        Ok(outputs.chunks_exact(each))
    }

    /// A number of each target, by its distribution; NaN where an output is.
    fn each(&self, outputs: &[f32], f: impl Fn(One) -> f64) -> Result<Vec<f32>> {
        let mut found = Vec::new();
        for x in self.groups(outputs)? {
            match x.iter().find(|x| x.is_nan()) {
                Some(nan) => found.extend(std::iter::repeat_n(*nan, self.group()[1])),
                None => found.extend(self.ones(x).into_iter().map(|one| f(one) as f32)),
            }
        }
        Ok(found)
    }

    /// The distribution of each target of a group by itself.
    fn ones(&self, x: &[f32]) -> Vec<One> {
        let at = |j: usize| f64::from(x[j]);
        let (components, targets) = match *self {
            Self::Normal => {
                return vec![One::Normal { mean: at(0), deviation: positive(at(1)) }];
            }
            Self::StudentT => {
                let (scale, freedom) = (positive(at(1)), 2.0 + positive(at(2)));
                return vec![One::StudentT { location: at(0), scale, freedom }];
            }
            Self::NegativeBinomial => {
                let (mean, shape) = (positive(at(0)), positive(at(1)));
                return vec![One::NegativeBinomial { mean, shape }];
            }
            Self::Mixture { components, targets } => (components, targets),
            Self::Strokes { components } => (components, 2),
        };
        let shares = shares(&x[..components]);
        let part = |d| {
            let of = |(k, &share): (usize, &f64)| {
                let [mean, deviation] = place(x, [components, targets], k, d);
                [share, mean, deviation]
            };
            One::Mixture(shares.iter().enumerate().map(of).collect())
        };
        let mut all: Vec<_> = (0..targets).map(part).collect();
        if matches!(self, Self::Strokes { .. }) {
            all.push(One::Yes(sigmoid(at(6 * components))));
        }
        all
    }
}

impl One {
    fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Self::Normal { mean, deviation } => mean + deviation * standard(rng),
            Self::StudentT { location, scale, freedom } => {
                // What is positive makes one.
                let t = StudentT::new(*freedom).map_or(f64::NAN, |t| t.sample(rng));
                location + scale * t
            }
            Self::NegativeBinomial { mean, shape } => {
                // A mixture of Poisson distributions.
                let rate = Gamma::new(1.0 / shape, mean * shape);
                let rate = rate.map_or(f64::NAN, |rate| rate.sample(rng));
                match rate > 0.0 {
                    true => Poisson::new(rate).map_or(rate.round(), |count| count.sample(rng)),
                    false => rate,
                }
            }
            Self::Mixture(parts) => {
                let shares: Vec<_> = parts.iter().map(|part| part[0]).collect();
                let [_, mean, deviation] = parts[component(&shares, rng.random())];
                mean + deviation * standard(rng)
            }
            Self::Yes(yes) => f64::from(u8::from(rng.random::<f64>() < *yes)),
        }
    }
}

/// Checks a probability that is neither 0 nor 1.
fn check_between(option: &'static str, found: f32) -> Result<()> {
    if found > 0.0 && found < 1.0 {
        return Ok(());
    }
    Err(Error::Option { option, found: found.to_string(), expected: "between 0 and 1".into() })
}

fn standard(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// The softmax of the components' logits.
fn shares(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let exps: Vec<_> = logits.iter().map(|&x| libm::exp(f64::from(x - largest))).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / sum).collect()
}

/// The component that a number from 0 to 1 falls on.
fn component(shares: &[f64], mut at: f64) -> usize {
    for (k, share) in shares.iter().enumerate() {
        if at < *share {
            return k;
        }
        at -= share;
    }
    shares.len() - 1
}

/// The mean and the deviation of a number in a component, of so many components of so many numbers.
fn place(x: &[f32], [components, axes]: [usize; 2], k: usize, d: usize) -> [f64; 2] {
    let at = components + k * axes + d;
    [x[at].into(), positive(x[at + components * axes].into())]
}
