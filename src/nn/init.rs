//! First values of parameters.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot & Bengio 2010, AISTATS.
pub(super) fn glorot_uniform(rng: &mut ChaCha8Rng, fan_in: usize, fan_out: usize) -> Vec<f32> {
    let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
    (0..fan_in * fan_out).map(|_| (limit * (2.0 * rng.random::<f64>() - 1.0)) as f32).collect()
}

/// Uniform in ±`limit`.
pub(super) fn uniform(rng: &mut ChaCha8Rng, n: usize, limit: f32) -> Vec<f32> {
    (0..n).map(|_| limit * (2.0 * rng.random::<f32>() - 1.0)).collect()
}

/// `rows` orthonormal rows of `columns >= rows` values: Saxe et al. 2014, arXiv 1312.6120.
pub(super) fn orthogonal(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Vec<f32> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(rows);
    for _ in 0..rows {
        let mut row: Vec<f64> = (0..columns).map(|_| normal(rng)).collect();
        // Gram-Schmidt: normal rows are far from parallel, so once is enough in f64.
        for earlier in &basis {
            let dot: f64 = row.iter().zip(earlier).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(earlier).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        row.iter_mut().for_each(|a| *a /= norm);
        basis.push(row);
    }
    basis.into_iter().flatten().map(|v| v as f32).collect()
}

/// Box & Muller 1958.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        for (rows, columns) in [(1, 4), (7, 28), (64, 256)] {
            let r = orthogonal(&mut ChaCha8Rng::seed_from_u64(1), rows, columns);
            for (i, a) in r.chunks(columns).enumerate() {
                for (j, b) in r.chunks(columns).enumerate() {
                    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert!((dot - f32::from(i == j)).abs() < 1e-5, "{i} {j} {dot}");
                }
            }
        }
    }

    #[test]
    fn glorot_values_fill_their_range() {
        let w = glorot_uniform(&mut ChaCha8Rng::seed_from_u64(1), 30, 70);
        let limit = (6.0f32 / 100.0).sqrt();
        assert!(w.iter().all(|v| v.abs() <= limit));
        assert!(w.iter().any(|v| *v > 0.95 * limit) && w.iter().any(|v| *v < -0.95 * limit));
    }
}
