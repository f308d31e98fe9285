//! First values of parameters: drawn from the seed, or zeros where a file's values will take their place.

use super::Params;
use super::store::Store;
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

impl Store {
    /// Takes values from what layers may still make, where a file says how many there are.
    pub(super) fn spend(&mut self, len: usize) -> Result<()> {
        if let Some(left) = &mut self.blank {
            *left = left.checked_sub(len).ok_or(more_than_the_file(*left, len))?;
        }
        Ok(())
    }
}

fn more_than_the_file(left: usize, len: usize) -> Error {
    Error::Count { op: "Sequential::load", shape: vec![len], expected: left, found: len }
}

impl Params {
    /// The `len` first values of the next parameter: those that `draw` draws; or zeros, if they are not to be
    /// drawn.
    pub(crate) fn first_values(
        &self,
        len: usize,
        draw: impl FnOnce(ChaCha8Rng) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let blank = self.lock().blank;
        match blank {
            None => draw(self.rng()),
            Some(left) if len <= left => Ok(vec![0.0; len]),
            Some(left) => Err(more_than_the_file(left, len)),
        }
    }

    /// The generator for the first values of the next parameter, the same on every device.
    pub(crate) fn rng(&self) -> ChaCha8Rng {
        let inner = self.lock();
        let mut rng = ChaCha8Rng::seed_from_u64(inner.seed);
        rng.set_stream(inner.specs.len() as u64 + 1);
        rng
    }

    /// Lets `build` make parameters of zeros, `most` values in all, to be replaced by those of a file: to draw
    /// them takes longer than to read them, and a file that lies may name sizes which no memory has.
    pub(crate) fn blank<R>(&self, most: usize, build: impl FnOnce() -> R) -> R {
        self.lock().blank = Some(most);
        let built = build();
        self.lock().blank = None;
        built
    }

    /// The seed, and how many random keys were drawn from it.
    pub(crate) fn draws(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.seed, inner.keys)
    }

    /// Goes on from a seed and the keys drawn from it.
    pub(crate) fn set_draws(&self, seed: u64, keys: u64) {
        let mut inner = self.lock();
        (inner.seed, inner.keys) = (seed, keys);
    }
}
