//! Normal distributions without a network.

#[path = "../common/moving.rs"]
mod moving;

pub use moving::volatility;

/// The mean logarithm of the normal density with these deviations, and the mean 0.
pub fn normal(truth: &[f32], deviation: &[f32]) -> f64 {
    let log = |(y, d): (&f32, &f32)| {
        let (y, d) = (f64::from(*y), f64::from(*d));
        -0.5 * (y / d).powi(2) - d.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    truth.iter().zip(deviation).map(log).sum::<f64>() / truth.len() as f64
}
