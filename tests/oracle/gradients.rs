//! Limits of gradients, by their formulas.

/// The norm of all these together.
pub fn norm(gradients: &[Vec<f64>]) -> f64 {
    gradients.iter().flatten().map(|g| g * g).sum::<f64>().sqrt()
}

/// All of them scaled down to a norm of at most `limit`; as they are if they have none.
pub fn clip_norm(gradients: &[Vec<f64>], limit: f64) -> Vec<Vec<f64>> {
    let norm = norm(gradients);
    let share = if norm.is_finite() && norm > limit { limit / norm } else { 1.0 };
    gradients.iter().map(|g| g.iter().map(|g| g * share).collect()).collect()
}

/// Adaptive clipping of units, of which element i of `w` and `g` belongs to `unit(i)` of `count`.
pub fn clip_units(
    [w, g]: [&[f64]; 2],
    count: usize,
    unit: impl Fn(usize) -> usize,
    limit: f64,
) -> Vec<f64> {
    let norms = |x: &[f64]| {
        let mut sums = vec![0.0; count];
        x.iter().enumerate().for_each(|(i, x)| sums[unit(i)] += x * x);
        sums.into_iter().map(f64::sqrt).collect::<Vec<_>>()
    };
    let (w, norms) = (norms(w), norms(g));
    let share = |u: usize| {
        let (most, norm) = (limit * if w[u] < 1e-3 { 1e-3 } else { w[u] }, norms[u]);
        if w[u].is_finite() && norm.is_finite() && norm > most { most / norm } else { 1.0 }
    };
    g.iter().enumerate().map(|(i, g)| g * share(unit(i))).collect()
}
