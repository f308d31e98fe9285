//! A sum over the batches of an epoch, which stays on the device until it is read.

use crate::file::State;
use crate::ops::elementwise::add_into::add_into;
use crate::ops::sums::column_sum::column_sum;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{Device, Result, Tensor};

/// Terms of a level that go into one of the next: a float that grows term by term loses what each new
/// term has below its last place, and an epoch may have a million batches.
const TERMS: u64 = 16;

/// The sum of many numbers, or of many rows of them, by levels of sixteen.
pub(crate) struct Total {
    levels: Vec<Tensor>,
    terms: u64,
    device: Device,
}

impl Total {
    /// An empty sum of numbers.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Self::of_columns(1, device)
    }

    /// An empty sum of rows of so many numbers, at least 1.
    pub(crate) fn of_columns(columns: usize, device: &Device) -> Result<Self> {
        let first = Tensor::zeros([columns], device)?;
        Ok(Self { levels: vec![first], terms: 0, device: device.clone() })
    }

    /// Adds `scale` times the sum of `x`, to a sum of numbers.
    pub(crate) fn add(&mut self, x: &Tensor, scale: f32) -> Result<()> {
        reduce_sum(x, scale, true, &self.levels[0])?;
        self.carry()
    }

    /// Adds the rows of `x` `[N,columns]`.
    pub(crate) fn add_rows(&mut self, x: &Tensor) -> Result<()> {
        column_sum(x, &self.levels[0])?;
        self.carry()
    }

    /// Moves the levels that are full into the next ones.
    fn carry(&mut self) -> Result<()> {
        self.terms += 1;
        let (mut level, mut terms) = (0, self.terms);
        while terms.is_multiple_of(TERMS) {
            if level + 1 == self.levels.len() {
                self.levels.push(Tensor::zeros(self.levels[0].shape(), &self.device)?);
            }
            add_into(&self.levels[level], &self.levels[level + 1])?;
            self.levels[level].fill(0.0)?;
            (level, terms) = (level + 1, terms / TERMS);
        }
        Ok(())
    }

    /// The sums as they go. Waits for the device.
    pub(crate) fn state(&self) -> Result<State> {
        let mut state = State::new();
        state.set_number("terms", self.terms as f64);
        for (number, level) in self.levels.iter().enumerate() {
            state.set_values(&format!("level/{number}"), level.to_vec()?);
        }
        Ok(state)
    }

    /// Goes on from what [`Total::state`] gave.
    pub(crate) fn set_state(&mut self, state: &State) -> Result<()> {
        let columns = self.levels[0].len();
        let level = |values: &[f32]| Tensor::from_slice(values, [columns], &self.device);
        // The first is always there.
        let mut levels = vec![level(state.values("level/0")?)?];
        while let Ok(values) = state.values(&format!("level/{}", levels.len())) {
            levels.push(level(values)?);
        }
        (self.terms, self.levels) = (state.number("terms")? as u64, levels);
        Ok(())
    }

    /// Reads the sum of numbers, which waits for the device.
    pub(crate) fn read(&self) -> Result<f64> {
        Ok(self.read_columns()?.first().copied().unwrap_or(0.0))
    }

    /// Reads the sum of each column, which waits for the device.
    pub(crate) fn read_columns(&self) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.levels[0].len()];
        for level in &self.levels {
            for (sum, value) in sums.iter_mut().zip(level.to_vec()?) {
                *sum += f64::from(value);
            }
        }
        Ok(sums)
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

    #[test]
    fn columns_are_summed_alone() {
        let device = Device::plain_cpu();
        let mut total = Total::of_columns(3, &device).unwrap();
        let x = Tensor::from_slice(&[0.1, 1.0, -2.0, 0.2, 3.0, 0.0], [2, 3], &device).unwrap();
        for _ in 0..1000 {
            total.add_rows(&x).unwrap();
        }
        for (found, exact) in total.read_columns().unwrap().iter().zip([300.0, 4000.0, -2000.0]) {
            assert!((found / exact - 1.0).abs() < 1e-6, "{found} for {exact}");
        }
    }
}
