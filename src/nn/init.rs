//! First values of parameters; an error where there is no memory for them.

use crate::Result;
use crate::tensor::room_for;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const WHAT: &str = "the first values of a parameter";

/// `len` values of `next`.
fn values(len: usize, next: impl FnMut() -> f32) -> Result<Vec<f32>> {
    let mut values: Vec<f32> = room_for(WHAT, len)?;
    values.extend(std::iter::repeat_with(next).take(len));
    Ok(values)
}

/// The values `of`, repeated `times` times.
pub(super) fn repeated(of: &[f32], times: usize) -> Result<Vec<f32>> {
    let mut values: Vec<f32> = room_for(WHAT, of.len().saturating_mul(times))?;
    for _ in 0..times {
        values.extend_from_slice(of);
    }
    Ok(values)
}

/// Values uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot & Bengio 2010, AISTATS.
pub(super) fn glorot_uniform(
    rng: &mut ChaCha8Rng,
    fan_in: usize,
    fan_out: usize,
) -> Result<Vec<f32>> {
    let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
    let next = || (limit * (2.0 * rng.random::<f64>() - 1.0)) as f32;
    values(fan_in.saturating_mul(fan_out), next)
}

/// Values uniform in ±`limit`.
pub(super) fn uniform(rng: &mut ChaCha8Rng, n: usize, limit: f32) -> Result<Vec<f32>> {
    values(n, || limit * (2.0 * rng.random::<f32>() - 1.0))
}

/// `rows` orthonormal rows of `columns >= rows` values: Saxe et al. 2014, arXiv 1312.6120.
pub(super) fn orthogonal(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let len = rows.saturating_mul(columns);
    let mut basis: Vec<f64> = room_for(WHAT, len)?;
    let mut found: Vec<f32> = room_for(WHAT, len)?;
    for at in 0..rows {
        basis.extend((0..columns).map(|_| normal(rng)));
        let (earlier, row) = basis.split_at_mut(at * columns);
        // Gram-Schmidt: normal rows are far from parallel, so once is enough in f64.
        for earlier in earlier.chunks_exact(columns) {
            let dot: f64 = row.iter().zip(earlier).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(earlier).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        row.iter_mut().for_each(|a| *a /= norm);
    }
    found.extend(basis.iter().map(|&v| v as f32));
    Ok(found)
}

/// A value of the standard normal distribution: Box & Muller 1958.
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
            let r = orthogonal(&mut ChaCha8Rng::seed_from_u64(1), rows, columns).unwrap();
            for (i, a) in r.chunks(columns).enumerate() {
                for (j, b) in r.chunks(columns).enumerate() {
                    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert!((dot - f32::from(i == j)).abs() < 1e-5, "{i} {j} {dot}");
                }
            }
        }
    }

    #[test]
    fn values_without_memory_are_an_error() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        // More bytes than a process can have: nothing is tried that might abort.
        let (rows, columns) = (1 << 31, 1 << 31);
        for values in [
            glorot_uniform(rng, rows, columns),
            uniform(rng, usize::MAX, 1.0),
            orthogonal(rng, rows, columns),
            repeated(&[0.0; 4], usize::MAX),
        ] {
            assert!(matches!(values, Err(crate::Error::OutOfMemory { .. })));
        }
    }

    #[test]
    fn glorot_values_fill_their_range() {
        let w = glorot_uniform(&mut ChaCha8Rng::seed_from_u64(1), 30, 70).unwrap();
        let limit = (6.0f32 / 100.0).sqrt();
        assert!(w.iter().all(|v| v.abs() <= limit));
        assert!(w.iter().any(|v| *v > 0.95 * limit) && w.iter().any(|v| *v < -0.95 * limit));
    }
}
