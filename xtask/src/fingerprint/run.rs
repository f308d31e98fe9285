//! What every configuration needs: numbers, a pass over a tape, and the hash of what came out.

use std::fmt;
use wgpu_lstm::nn::Params;
use wgpu_lstm::{Device, Lengths, Mask, Result, Tape, Tensor, Var};

/// A name, and what it runs.
pub type Configuration = (String, Box<dyn Fn(&mut Run) -> Result<()>>);

/// A row of a table: a name, and what to make.
pub type Row<T> = (&'static str, fn() -> T);

/// Adds a configuration for each row of a table.
pub fn extend<T>(
    all: &mut Vec<Configuration>,
    group: &str,
    rows: &'static [T],
    name: fn(&T) -> &'static str,
    work: fn(&mut Run, &T) -> Result<()>,
) {
    for row in rows {
        all.push((format!("{group}/{}", name(row)), Box::new(move |run| work(run, row))));
    }
}

/// FNV-1a of 64 bits (Fowler, Noll & Vo).
#[derive(Debug, Clone, Copy)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What comes with a configuration's input `[B,T,F]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// Rows of different lengths.
    Lengths,
    /// A mask with holes.
    Holes,
    /// First states, whose gradients are wanted.
    States,
    /// First states, and rows of different lengths.
    StatesAndLengths,
    /// Mixed precision.
    Halves,
}

/// The timesteps that count.
pub struct Steps {
    lengths: Option<Lengths>,
    mask: Option<Mask>,
}

impl Steps {
    /// A value with these timesteps.
    pub fn of(&self, x: &Var) -> Var {
        x.clone().with_lengths(self.lengths.clone()).with_mask(self.mask.clone())
    }
}

/// One configuration at work.
pub struct Run {
    /// Where it runs.
    pub device: Device,
    /// Over all that came out so far.
    pub hash: Hash,
    random: u64,
}

impl Run {
    /// With numbers that depend on the name alone: other configurations may come and go.
    pub fn new(device: &Device, name: &str) -> Self {
        let mut seed = Hash::default();
        seed.add(name.as_bytes());
        Self { device: device.clone(), hash: Hash::default(), random: seed.0 }
    }

    /// SplitMix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.random;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// So many numbers from -1 to 1, each of 24 bits.
    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// So many numbers from 0 to 1.
    pub fn shares(&mut self, count: usize) -> Vec<f32> {
        self.numbers(count).into_iter().map(|number| 0.5 + 0.5 * number).collect()
    }

    /// So many whole numbers below `below`.
    pub fn tokens(&mut self, count: usize, below: u32) -> Vec<u32> {
        (0..count).map(|_| (self.next() % u64::from(below)) as u32).collect()
    }

    /// A tensor of [`Run::numbers`].
    pub fn tensor(&mut self, shape: &[usize]) -> Result<Tensor> {
        let values = self.numbers(shape.iter().product());
        Tensor::from_slice(&values, shape, &self.device)
    }

    /// The timesteps that count of so many rows.
    pub fn steps(&self, with: With, rows: usize, timesteps: usize) -> Result<Steps> {
        let mut steps = Steps { lengths: None, mask: None };
        if matches!(with, With::Lengths | With::StatesAndLengths) {
            let lengths: Vec<_> = (0..rows).map(|row| 1 + (11 * row + 6) % timesteps).collect();
            steps.lengths = Some(Lengths::new(&lengths, &self.device)?);
        }
        if with == With::Holes {
            let on = |at: usize| (3 * (at / timesteps) + at % timesteps) % 4 != 1;
            let mask: Vec<_> = (0..rows * timesteps).map(on).collect();
            steps.mask = Some(Mask::new(&mask, [rows, timesteps], &self.device)?);
        }
        Ok(steps)
    }

    /// Takes numbers into the hash.
    pub fn note(&mut self, values: &[f32]) {
        values.iter().for_each(|value| self.hash.add(&value.to_bits().to_le_bytes()));
    }

    /// Takes a tensor's shape and numbers into the hash.
    pub fn note_tensor(&mut self, tensor: &Tensor) -> Result<()> {
        self.hash.add(format!("{:?}", tensor.shape()).as_bytes());
        self.note(&tensor.to_vec()?);
        Ok(())
    }

    /// Takes all parameters into the hash.
    pub fn note_params(&mut self, params: &Params) -> Result<()> {
        params.names().iter().try_for_each(|name| {
            self.note(&params.get(name)?);
            Ok(())
        })
    }

    /// Moves all parameters a little: biases, peepholes and gains begin as zeros or ones, which hide
    /// mistakes.
    pub fn disturb(&mut self, params: &Params) -> Result<()> {
        for name in params.names() {
            let mut values = params.get(&name)?;
            let noise = self.numbers(values.len());
            values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.1 * noise);
            params.set(&name, &values)?;
        }
        Ok(())
    }

    /// Runs a model in training and in inference. Into the hash go the outputs of both, and the gradients
    /// of inputs and parameters, given any gradients of the outputs.
    pub fn pass(
        &mut self,
        params: &Params,
        inputs: &[Tensor],
        forward: impl Fn(&Tape, &[Var]) -> Result<Vec<Var>>,
    ) -> Result<()> {
        let tape = Tape::new(params);
        let vars: Vec<_> = inputs.iter().map(|input| tape.input(input.clone())).collect();
        let outputs = forward(&tape, &vars)?;
        let mut seeds = Vec::new();
        for output in &outputs {
            self.note_tensor(output.tensor())?;
            seeds.push((output, self.tensor(output.shape())?));
        }
        let gradients = tape.backward_from(&seeds)?;
        for var in &vars {
            match gradients.get(var) {
                Some(gradient) => self.note_tensor(gradient)?,
                None => self.hash.add(b"none"),
            }
        }
        for name in params.names() {
            self.note(&params.gradient(&name)?);
        }
        let vars: Vec<_> = inputs.iter().cloned().map(Var::constant).collect();
        for output in forward(&Tape::inference(params), &vars)? {
            self.note_tensor(output.tensor())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Hash::default();
        hash.add(b"foobar");
        assert_eq!(hash.to_string(), "85944171f73967e8");
    }
}
