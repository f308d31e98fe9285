//! Densities of one number: -log p, and its slopes by the outputs that have the parameters. The twin of
//! `shaders/loss/parts/density_loss.wgsl`, in double precision.

use super::log_gamma::{digamma_step, log_1p_rest, stirling_rest};
use super::{positive, sigmoid};
use libm::{log, log1p};
use std::f64::consts::PI;

/// Of x = [mean, deviation].
pub(super) fn normal(x: [f64; 2], y: f64) -> (f64, [f64; 2]) {
    let deviation = positive(x[1]);
    let z = (y - x[0]) / deviation;
    let loss = 0.5 * z * z + log(deviation) + 0.5 * log(2.0 * PI);
    (loss, [-z / deviation, (1.0 - z * z) / deviation * sigmoid(x[1])])
}

/// Of x = [location, scale, degrees of freedom less 2].
pub(super) fn student_t(x: [f64; 3], y: f64) -> (f64, [f64; 3]) {
    let (scale, freedom) = (positive(x[1]), 2.0 + positive(x[2]));
    let z = (y - x[0]) / scale;
    let q = z * z / freedom;
    let share = q / (1.0 + q);
    let pull = (freedom + 1.0) * z / (freedom * (1.0 + q));
    // log(1+q) - q/(1+q), in which q itself cancels where it is small.
    let bend = if q < 0.5 { log_1p_rest(q, 1.0 + q) + q * share } else { log1p(q) - share };
    let half = 0.5 * freedom;
    let inside = 0.5 / half;
    let rest = log_1p_rest(inside, 1.0 + inside);
    let by_freedom = 0.5 * (bend - digamma_step(half, 0.5) - rest) - 0.5 * share / freedom;
    let by_scale = (1.0 - (freedom + 1.0) * share) / scale;
    let loss = student_loss(freedom, z) + log(scale);
    (loss, [-pull / scale, by_scale * sigmoid(x[1]), by_freedom * sigmoid(x[2])])
}

/// -log p of a number of Student's distribution of these degrees of freedom.
pub(crate) fn student_loss(freedom: f64, z: f64) -> f64 {
    let half = 0.5 * freedom;
    let inside = 0.5 / half;
    let rest = half * log_1p_rest(inside, 1.0 + inside);
    let norm = stirling_rest(half + 0.5) - stirling_rest(half) + rest;
    0.5 * (freedom + 1.0) * log1p(z * z / freedom) + 0.5 * log(2.0 * PI) - norm
}

/// Of x = [mean, shape].
pub(super) fn negative_binomial(x: [f64; 2], k: f64) -> (f64, [f64; 2]) {
    if k < 0.0 {
        // No count is below 0.
        return (f64::NAN, [f64::NAN; 2]);
    }
    let (mean, shape) = (positive(x[0]), positive(x[1]));
    let r = 1.0 / shape;
    let rest = log_1p_rest((k - mean) / (r + mean), (r + k) / (r + mean));
    let by_mean = (mean - k) / (mean * (1.0 + shape * mean));
    let by_shape = r * r * (rest + digamma_step(r, k));
    (count_loss(mean, shape, k), [by_mean * sigmoid(x[0]), by_shape * sigmoid(x[1])])
}

/// -log p of a count of at least 0, of the negative binomial distribution with this mean and shape. By Loader's
/// saddle point: no difference of large numbers.
pub(crate) fn count_loss(mean: f64, shape: f64, k: f64) -> f64 {
    let r = 1.0 / shape;
    if k == 0.0 {
        return r * log1p(mean * shape);
    }
    let all = r + k;
    let off = (k - mean) / (r + mean);
    let rest = log_1p_rest(off, all / (r + mean));
    let part = mean / (r + mean) * (all / k);
    let sizes = stirling_rest(r) + stirling_rest(k) - stirling_rest(all);
    0.5 * log(2.0 * PI * k * (all / r)) + sizes - r * rest - k * log_1p_rest(-off * (r / k), part)
}
