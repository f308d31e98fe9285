//! What densities need of the logarithm of the gamma function: see `shaders/loss/parts/log_gamma.wgsl`. Here the
//! series begin later and have more terms, for double precision.

use libm::{log, log1p};

/// log(1 + v) - v, where p = 1 + v, which the caller may know better than v tells.
pub(super) fn log_1p_rest(v: f64, p: f64) -> f64 {
    if v.abs() < 0.01 {
        let s = v / (2.0 + v);
        let z = s * s;
        let series = 1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z / 9.0));
        return 2.0 * s * z * series - s * v;
    }
    log(p) - v
}

/// log gamma(x+1) - (x + 1/2) log x + x - log(2 pi)/2, of an x above 0.
pub(super) fn stirling_rest(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 12.0 {
        sum += (x + 0.5) * log1p(1.0 / x) - 1.0;
        x += 1.0;
    }
    let (t, z) = (1.0 / x, 1.0 / (x * x));
    let series = 1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0);
    sum + t * (1.0 / 12.0 - z * (1.0 / 360.0 - z * series))
}

/// digamma(x) - log x, of an x above 0.
pub(super) fn digamma_rest(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 12.0 {
        sum += log_1p_rest(1.0 / x, (x + 1.0) / x);
        x += 1.0;
    }
    let (t, z) = (1.0 / x, 1.0 / (x * x));
    let series = 1.0 / 252.0 - z * (1.0 / 240.0 - z / 132.0);
    sum - 0.5 * t - z * (1.0 / 12.0 - z * (1.0 / 120.0 - z * series))
}

/// `digamma_rest(r + k) - digamma_rest(r)`: of a large r term by term, since each is near its neighbour.
pub(super) fn digamma_step(r: f64, k: f64) -> f64 {
    if r < 20.0 {
        return digamma_rest(r + k) - digamma_rest(r);
    }
    let (t, w) = (1.0 / r, 1.0 / (r + k));
    let (tt, ww) = (t * t, w * w);
    let squares = tt * tt + tt * ww + ww * ww;
    let series =
        1.0 / 12.0 - (tt + ww) / 120.0 + squares / 252.0 - (tt + ww) * (tt * tt + ww * ww) / 240.0;
    k * t * w * (0.5 + (t + w) * series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_gamma_comes_from_its_rest() {
        let half_log_2pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        for x in [1e-6, 0.01, 0.3, 1.0, 1.5, 2.0, 7.9, 11.99, 12.0, 12.01, 99.5, 1e4, 1e7] {
            let whole = stirling_rest(x) + (x + 0.5) * x.ln() - x + half_log_2pi;
            let exact = libm::lgamma(x + 1.0);
            assert!((whole - exact).abs() < 1e-13 * (1.0 + exact.abs()), "{x}: {whole}, {exact}");
        }
    }

    /// Against scipy's `digamma`.
    #[test]
    fn digamma_comes_from_its_rest() {
        for (x, exact) in [
            (1e-3, -1_000.575_571_931_810_3),
            (0.5, -1.963_510_026_021_423_4),
            (1.0, -0.577_215_664_901_532_9),
            (3.7, 1.167_153_539_361_511_3),
            (12.5, 2.485_195_651_274_912_3),
            (1000.0, 6.907_255_195_648_812),
        ] {
            let whole = digamma_rest(x) + x.ln();
            assert!((whole - exact).abs() < 1e-12 * exact.abs(), "{x}: {whole}, not {exact}");
        }
        for (r, k) in [(0.1, 3.0), (19.99, 5.0), (20.01, 5.0), (300.0, 0.5)] {
            let (step, plain) = (digamma_step(r, k), digamma_rest(r + k) - digamma_rest(r));
            assert!((step - plain).abs() < 1e-11 * plain.abs(), "{r}, {k}: {step}, {plain}");
        }
    }
}
