//! Normal numbers, with the same bits on every machine.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The standard deviation of a standard normal distribution that is cut off at ±2.
const STD_OF_TRUNCATED: f64 = 0.879_625_661_034_239_8;

/// Two numbers of the standard normal distribution, by the polar method (Marsaglia & Bray 1964). Its logarithm
/// is that of `libm`, since the standard library's is the platform's.
fn pair(rng: &mut ChaCha8Rng) -> [f64; 2] {
    loop {
        let bits: u64 = rng.random();
        let within = |word: u32| f64::from(word as i32) / f64::from(1_u32 << 31);
        let (u, v) = (within(bits as u32), within((bits >> 32) as u32));
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            let scale = (-2.0 * libm::log(s) / s).sqrt();
            return [u * scale, v * scale];
        }
    }
}

/// Numbers of the standard normal distribution, without end.
pub(super) fn normals(rng: &mut ChaCha8Rng) -> impl Iterator<Item = f64> {
    std::iter::repeat_with(|| pair(rng)).flatten()
}

/// Numbers of the standard deviation 1 of a normal distribution that is cut off at 2 of its own standard
/// deviations: Keras' `truncated_normal` as its `VarianceScaling` scales it.
pub(super) fn truncated_normals(rng: &mut ChaCha8Rng) -> impl Iterator<Item = f64> {
    normals(rng).filter(|x| x.abs() <= 2.0).map(|x| x / STD_OF_TRUNCATED)
}
