//! A sum over the batches of an epoch, which stays on the device until it is read.

use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{Device, Result, Tensor};

/// Terms of a level that go into one of the next: a float that grows term by term loses what each new
/// term has below its last place, and an epoch may have a million batches.
const TERMS: u64 = 16;

/// The sum of many numbers, by levels of sixteen.
pub(crate) struct Total {
    levels: Vec<Tensor>,
    terms: u64,
    device: Device,
}

impl Total {
    /// An empty sum.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let first = Tensor::zeros([1], device)?;
        Ok(Self { levels: vec![first], terms: 0, device: device.clone() })
    }

    /// Adds `scale` times the sum of `x`.
    pub(crate) fn add(&mut self, x: &Tensor, scale: f32) -> Result<()> {
        reduce_sum(x, scale, true, &self.levels[0])?;
        self.terms += 1;
        let (mut level, mut terms) = (0, self.terms);
        while terms.is_multiple_of(TERMS) {
            if level + 1 == self.levels.len() {
                self.levels.push(Tensor::zeros([1], &self.device)?);
            }
            reduce_sum(&self.levels[level], 1.0, true, &self.levels[level + 1])?;
            self.levels[level].fill(0.0)?;
            (level, terms) = (level + 1, terms / TERMS);
        }
        Ok(())
    }

    /// Reads the sum, which waits for the device.
    pub(crate) fn read(&self) -> Result<f64> {
        self.levels.iter().map(|level| Ok(f64::from(level.to_vec()?[0]))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_terms_keep_their_digits() {
        let device = Device::plain_cpu();
        let mut total = Total::new(&device).unwrap();
        let x = Tensor::from_slice(&[0.1], [1], &device).unwrap();
        for _ in 0..100_000 {
            total.add(&x, 0.5).unwrap();
        }
        let exact = 100_000.0 * 0.5 * f64::from(0.1f32);
        assert!((total.read().unwrap() / exact - 1.0).abs() < 1e-6);
    }
}
