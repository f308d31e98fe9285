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

    /// Lets the layers that are built from now on begin as PyTorch's do: in place of the defaults of
    /// [`Dense`](crate::nn::Dense), [`Conv1d`](crate::nn::Conv1d), [`Lstm`](crate::nn::Lstm), [`Rnn`](crate::nn::Rnn) and
    /// [`Embedding`](crate::nn::Embedding) their weights and biases are drawn by [`Init::PyTorch`](crate::nn::Init::PyTorch).
    /// What a layer sets to something else than its default stays. [`crate::Sequential::pytorch_init`] is the same for a
    /// whole model, [`Lstm::pytorch_init`](crate::nn::Lstm::pytorch_init) for one layer.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Dense, Lstm, Params}};
    /// let params = Params::seeded(&Device::auto()?, 7).pytorch_init();
    /// let lstm = Lstm::new(16).forget_bias(1.0).build(&params, 3)?;
    /// let head = Dense::new(2).build(&params, 16)?;
    /// // Within 1/sqrt(16), but for the bias that is set.
    /// assert!(params.get("lstm.weight_hh_l0")?.iter().all(|w| w.abs() <= 0.25));
    /// assert_eq!(params.get("lstm.bias_l0")?[16..32], [1.0; 16]);
    /// assert!(params.get("dense.bias")?.iter().all(|b| *b != 0.0 && b.abs() <= 0.25));
    /// # let _ = (lstm, head);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    #[must_use]
    pub fn pytorch_init(self) -> Self {
        self.lock().pytorch = true;
        self
    }

    pub(crate) fn begins_as_pytorch(&self) -> bool {
        self.lock().pytorch
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
