//! Models of 8-bit weights, and how far that moves their outputs.

use super::feed::{Feed, Plan};
use super::prediction::Meaning;
use super::sequential::{NO_LAYERS, Sequential, other_features};
use crate::autograd::{Tape, Var};
use crate::data::{Origin, Sequences};
use crate::nn::{Own, ParamId, unpacked};
use crate::{Error, Result};
use std::fmt;

/// How far values moved, from those of a model in 32 bits to those of the same model in 8.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Moved {
    /// The largest difference of two values.
    pub max_abs: f32,
    /// The root of the mean squared difference, relative to that of the values in 32 bits; 0 where both are 0.
    pub relative_rms: f32,
}

/// A layer of a [`Quantization`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizedLayer {
    /// The layer's number in the model.
    pub number: usize,
    /// What the layer calls itself: `lstm`, `dense`.
    pub kind: &'static str,
    /// The bytes of its parameters before and after; equal for a layer that stays in 32 bits.
    pub bytes: [usize; 2],
    /// How far its outputs moved, given the inputs that it gets in a model of 32 bits; `None` for a layer that stays
    /// so.
    pub moved: Option<Moved>,
}

/// What [`Sequential::quantize`] did, and how far outputs moved on the sample that it was given. It prints as a
/// table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Quantization {
    /// All layers, in order.
    pub layers: Vec<QuantizedLayer>,
    /// How far the model's outputs moved.
    pub outputs: Moved,
    /// The share of rows of the prediction whose class stayed ([`super::Prediction::classes`]); `None` for a model of
    /// one number.
    pub agreement: Option<f32>,
    /// The bytes of all parameters before and after.
    pub bytes: [usize; 2],
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |moved: Moved| format!("{:.3} %", 100.0 * moved.relative_rms);
        for layer in &self.layers {
            let moved = match layer.moved {
                Some(moved) => format!("outputs moved by {}", percent(moved)),
                None => "stays in 32 bits".into(),
            };
            let [before, after] = layer.bytes;
            writeln!(f, "{} {}: {before} bytes, now {after}; {moved}", layer.number, layer.kind)?;
        }
        let [before, after] = self.bytes;
        let (moved, most) = (percent(self.outputs), self.outputs.max_abs);
        write!(
            f,
            "model: {before} bytes, now {after}; outputs moved by {moved}, at most by {most:.2e}"
        )?;
        match self.agreement {
            Some(share) => write!(f, "; {:.2} % of the classes stayed", 100.0 * share),
            None => Ok(()),
        }
    }
}

/// A batch's value that went into a layer, and what came out.
struct Seen {
    layer: usize,
    x: Var,
    y: Vec<f32>,
}

impl Sequential {
    /// Makes the weights of the model's [`crate::nn::Lstm`] and [`crate::nn::Dense`] layers, those within others such as
    /// a [`crate::nn::Highway`] too, numbers of 8 bits, for inference: a quarter of the memory, and faster where the weights do not fit a cache. The sample, such as some
    /// sequences of the validation data, tells how far outputs move by it; nothing is fitted to it.
    ///
    /// A weight is quantised by row: each output has a scale, by which its largest weight becomes 127. Activations
    /// are quantised at run time, each frame and each row's h by its own range to 0 to 255; sums are made in 32-bit
    /// integers, and biases, gates and cell states stay floats. Layers with other options than the plain cell
    /// (normalisation, projection, peepholes, other activations) and all other layers stay in 32 bits. A frame with a
    /// number that is not finite gives NaN.
    ///
    /// [`Sequential::predict`], [`Sequential::evaluate`] and a new [`Sequential::stepper`] work as before;
    /// [`Sequential::save`] writes the weights in 8 bits, a quarter of the file, which [`Sequential::load`] reads. The
    /// model can no longer be trained, and the floats are gone: save it before, if they are still needed. A stepper
    /// that was made before goes on in 32 bits.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let head = Dense::new(3).activation(Activation::Softmax);
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(64)).add(head);
    /// model.build(8)?;
    /// let values: Vec<f32> = (0..4 * 10 * 8).map(|i| (i as f32 * 0.37).sin()).collect();
    /// let sample = Sequences::from_array(&values, [4, 10, 8])?;
    /// let before = model.predict(&sample)?;
    ///
    /// let report = model.quantize(&sample)?;
    /// println!("{report}");
    /// assert!(report.outputs.relative_rms < 0.02 && report.bytes[1] * 3 < report.bytes[0]);
    /// let after = model.predict(&sample)?;
    /// assert!(after.values().iter().zip(before.values()).all(|(a, b)| (a - b).abs() < 0.02));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Unsupported`] for a model that is quantised already, or
    /// has no layer that can be; [`Error::At`] the parameter with [`Error::NotFinite`] for one that has such values;
    /// those of [`Sequential::predict`] for the sample; and those of the device. After any but the last the model is
    /// as before.
    pub fn quantize(&mut self, sample: &Sequences) -> Result<Quantization> {
        const OP: &str = "Sequential::quantize";
        if self.layers.is_empty() {
            return Err(NO_LAYERS);
        }
        let Some(input_size) = self.input_size.filter(|_| self.built.len() == self.layers.len())
        else {
            return Err(self.not_built());
        };
        if input_size != sample.features() {
            return Err(other_features(OP, input_size, sample.features()));
        }
        let weights: Vec<_> = self.layers.iter().map(|layer| layer.quantizable(Own)).collect();
        let all = weights.concat();
        let unsupported = |with, help| Err(Error::Unsupported { what: OP, with, help });
        if all.is_empty() {
            let help = "its LSTMs of the plain cell and its Dense layers could be; there are none";
            return unsupported("a model without a layer that can be of 8 bits", help);
        }
        if all.iter().any(|&id| self.params.quantized(id).is_some()) {
            return unsupported("a model that is quantised already", "its weights are of 8 bits");
        }
        let held = self.swap_states(Vec::new());
        let found = self.quantize_seeing(sample, &weights);
        self.swap_states(held);
        found
    }

    fn quantize_seeing(
        &self,
        sample: &Sequences,
        weights: &[Vec<ParamId>],
    ) -> Result<Quantization> {
        let bytes = || -> Vec<usize> {
            let of =
                |layer| self.names_of_layer(layer).iter().map(|n| self.params.bytes_of(n)).sum();
            (0..self.layers.len()).map(of).collect()
        };
        let (before, all_before) = (bytes(), self.params.bytes());
        let expected = self.predict(sample)?;
        self.reset_state();
        let seen = self.see(sample, |layer| !weights[layer].is_empty())?;
        self.reset_state();
        self.params.quantize(&weights.concat())?;
        let mut moves: Vec<Option<Moving>> = weights.iter().map(|_| None).collect();
        for Seen { layer, x, y } in seen {
            let tape = Tape::inference(&self.params);
            let found = self.layers[layer].forward(&tape, &x)?.tensor().to_vec()?;
            moves[layer].get_or_insert_default().add(&y, &found);
        }
        self.reset_state();
        let found = self.predict(sample)?;
        let mut outputs = Moving::default();
        outputs.add(expected.values(), found.values());
        let pairs = expected.classes().into_iter().zip(found.classes());
        let same = pairs.filter(|(a, b)| a == b).count();
        let classes = found.width() > 1 || self.meaning() != Meaning::Numbers;
        let after = bytes();
        let layers = self.layers.iter().zip(moves).enumerate();
        let layers = layers.map(|(number, (layer, moving))| QuantizedLayer {
            number,
            kind: layer.kind(),
            bytes: [before[number], after[number]],
            moved: moving.map(Moving::moved),
        });
        Ok(Quantization {
            layers: layers.collect(),
            outputs: outputs.moved(),
            agreement: classes.then(|| same as f32 / found.rows().max(1) as f32),
            bytes: [all_before, self.params.bytes()],
        })
    }

    /// What goes into some layers, and what comes out.
    fn see(&self, sample: &Sequences, wanted: impl Fn(usize) -> bool) -> Result<Vec<Seen>> {
        let data = Origin::Memory { x: sample, y: None, weights: None };
        let feed = Feed::new(self, data, Plan::in_order(data, 32)?, None, "Sequential::quantize");
        let mut seen = Vec::new();
        feed.run(0, 1, |next| {
            while let Some(part) = next()? {
                let tape = Tape::inference(&self.params);
                let mut x = feed.batch(&part)?.x;
                for (number, layer) in self.layers.iter().enumerate() {
                    if !layer.takes_packed(Own) {
                        x = unpacked(&tape, &x)?;
                    }
                    let y = layer.forward(&tape, &x)?;
                    if wanted(number) {
                        let values = y.tensor().to_vec()?;
                        seen.push(Seen { layer: number, x: x.clone(), y: values });
                    }
                    x = y;
                }
            }
            Ok(())
        })?;
        Ok(seen)
    }
}

/// Sums for a [`Moved`].
#[derive(Debug, Clone, Copy, Default)]
struct Moving {
    max_abs: f32,
    squares: [f64; 2],
}

impl Moving {
    fn add(&mut self, expected: &[f32], found: &[f32]) {
        for (&expected, &found) in expected.iter().zip(found) {
            let off = (found - expected).abs();
            if off > self.max_abs || off.is_nan() {
                self.max_abs = off;
            }
            self.squares[0] += f64::from(off).powi(2);
            self.squares[1] += f64::from(expected).powi(2);
        }
    }

    fn moved(self) -> Moved {
        let [off, all] = self.squares;
        let relative_rms = if off == 0.0 { 0.0 } else { (off / all).sqrt() as f32 };
        Moved { max_abs: self.max_abs, relative_rms }
    }
}
