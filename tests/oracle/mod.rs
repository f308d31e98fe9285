//! Reference mathematics in f64, written from the papers' formulas: what the kernels and their
//! twins are compared with. Plain loops, no cleverness.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod crf;
pub mod dense;
pub mod gradients;
pub mod losses;
pub mod lstm;
pub mod optim;
#[cfg(test)]
mod tests;

pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The gradient of `f` at `x`, by central differences.
pub fn central_difference(f: &mut dyn FnMut(&[f64]) -> f64, x: &[f64], eps: f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            x[i] = middle + eps;
            let above = f(&x);
            x[i] = middle - eps;
            let below = f(&x);
            x[i] = middle;
            (above - below) / (2.0 * eps)
        })
        .collect()
}

/// A small generator (splitmix64): the same numbers on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn uniform(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len)
            .map(|_| low + (high - low) * ((self.next() >> 40) as f32 / (1u64 << 24) as f32))
            .collect()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
