//! A volatility that moves.

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
