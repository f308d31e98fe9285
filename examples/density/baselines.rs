//! Normal distributions without a network.

/// For each day the volatility that is expected the evening before: the root of the mean of squared moves, in which
/// each counts 6 % less than the one behind it (RiskMetrics 1996).
pub fn volatility(moves: &[f32]) -> Vec<f32> {
    let mut square = moves[0] * moves[0];
    let next = |x: &f32| {
        let known = square.sqrt();
        square += 0.06 * (x * x - square);
        known
    };
    moves.iter().map(next).collect()
}

/// The mean logarithm of the normal density with these deviations, and the mean 0.
pub fn normal(truth: &[f32], deviation: &[f32]) -> f64 {
    let log = |(y, d): (&f32, &f32)| {
        let (y, d) = (f64::from(*y), f64::from(*d));
        -0.5 * (y / d).powi(2) - d.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    truth.iter().zip(deviation).map(log).sum::<f64>() / truth.len() as f64
}
