//! How probable it is that a number is at most so large, and the number that is so by a given probability.

use crate::ops::loss::density_loss::{count_loss, student_loss};

/// Of the standard normal distribution.
pub(super) fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Of Student's distribution of these degrees of freedom.
pub(super) fn student_t(freedom: f64, t: f64) -> f64 {
    let tail = 0.5
        * beta(0.5 * freedom, 0.5, freedom / (freedom + t * t), || {
            t.abs() * libm::exp(-student_loss(freedom, t))
        });
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// Of counts of the negative binomial distribution with this mean and shape.
pub(super) fn negative_binomial(mean: f64, shape: f64, count: f64) -> f64 {
    let r = 1.0 / shape;
    let share = shape * mean / (1.0 + shape * mean);
    beta(r, count + 1.0, 1.0 / (1.0 + shape * mean), || {
        libm::exp(-count_loss(mean, shape, count)) * share * (r + count)
    })
}

/// The incomplete beta function over the complete one, by its continued fraction (Lentz's way to take one; Press et
/// al. 2007, section 6.4), given x^a (1-x)^b / B(a, b).
fn beta(a: f64, b: f64, x: f64, power: impl Fn() -> f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x;
    }
    match x < (a + 1.0) / (a + b + 2.0) {
        true => power() * fraction(a, b, x) / a,
        false => 1.0 - power() * fraction(b, a, 1.0 - x) / b,
    }
}

/// The continued fraction; it takes about as many steps as the root of the larger of `a` and `b`.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const LEAST: f64 = 1e-300;
    let held = |v: f64| if v.abs() < LEAST { LEAST } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / held(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for part in [even, odd] {
            d = 1.0 / held(1.0 + part * d);
            c = held(1.0 + part / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-14 * value.abs() {
            break;
        }
    }
    value
}

/// The number between `low` and `high` up to which a distribution has the probability `p`: of two neighbours the larger
/// one, which counts round up.
pub(super) fn inverse(p: f64, mut low: f64, mut high: f64, up_to: impl Fn(f64) -> f64) -> f64 {
    // As many halvings as leave no bit of an f32 open, also of a number much smaller than the bounds.
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if up_to(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// A bound that the number is below up to which a distribution has the probability `p`, from `at` on.
pub(super) fn above(p: f64, mut at: f64, up_to: impl Fn(f64) -> f64) -> f64 {
    while up_to(at) < p && at < f64::from(f32::MAX) {
        at *= 2.0;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Degrees of freedom, a number, and the probability.
    const STUDENT: [(f64, f64, f64); 6] = [
        (2.0, -4.5, 0.023_000_953_997_138_01),
        (2.5, 0.3, 0.606_328_814_252_401_4),
        (5.0, -5.9, 0.000_995_043_976_420_868),
        (30.0, 2.1, 0.977_878_764_368_838_2),
        (1e4, -1.0, 0.158_667_352_165_214_58),
        (1e6, -0.01, 0.496_010_644_682_773_84),
    ];

    /// A mean, a shape, a count, and the probability.
    const COUNTS: [(f64, f64, f64, f64); 8] = [
        (0.01, 0.5, 0.0, 0.990_074_503_106_359),
        (3.0, 2.0, 1.0, 0.539_949_247_156_038_9),
        (3.0, 2.0, 40.0, 0.999_606_857_459_482_5),
        (50.0, 1e-6, 50.0, 0.537_516_690_857_103_4),
        (50.0, 1e-6, 20.0, 1.235_754_368_196_353e-6),
        (1e6, 1e-6, 999_000.0, 0.239_914_902_654_644_55),
        (1e6, 0.3, 1e5, 0.002_150_045_029_544_955),
        (0.001, 50.0, 2.0, 0.999_999_231_420_121_4),
    ];

    /// Against mpmath and scipy.
    #[test]
    fn probabilities_are_those_of_other_libraries() {
        let close = |what: &str, found: f64, exact: f64| {
            assert!((found - exact).abs() < 1e-10 * exact, "{what}: {found}, not {exact}");
        };
        for (freedom, t, exact) in STUDENT {
            close("Student's t", student_t(freedom, t), exact);
        }
        for (mean, shape, count, exact) in COUNTS {
            close("negative binomial", negative_binomial(mean, shape, count), exact);
        }
        close("normal", normal(-3.0), 0.001_349_898_031_630_094_6);
    }
}
