//! Which inputs an output depends on, timestep by timestep.

use super::batch::{self, Rows};
use super::sequential::{Sequential, other_features};
use super::training::Aside;
use crate::autograd::Tape;
use crate::data::Sequences;
use crate::nn::Activation;
use crate::{Error, Result, Tensor};

const OP: &str = "Sequential::saliency";

/// The gradient of one output of a model by each value of a sequence: see [`Sequential::saliency`]. With the
/// feature `plot`, `Saliency::plot` draws it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Saliency {
    /// The number of the output: of a model of classes the class.
    pub output: usize,
    /// The value of the output, before a softmax or sigmoid.
    pub value: f32,
    /// The values of a frame, F: the features of the sequence, or of tokens the elements of their vectors.
    pub features: usize,
    /// The gradient of the output by each value of the sequence, frame by frame, `[T,F]`.
    pub gradient: Vec<f32>,
    /// The values of the sequence, `[T,F]`: of tokens their vectors.
    pub input: Vec<f32>,
    /// Whether the sequence was one of tokens.
    pub tokens: bool,
}

impl Saliency {
    /// The norm of the gradient for each timestep, `[T]`: how much the output depends on each frame or token
    /// (Simonyan et al. 2014, arXiv 1312.6034; of words Li et al. 2016, arXiv 1506.01066).
    pub fn norms(&self) -> Vec<f32> {
        let norm =
            |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
        self.gradient.chunks_exact(self.features.max(1)).map(norm).collect()
    }

    /// Gradient times input, `[T,F]` (Shrikumar et al. 2016, arXiv 1605.01713; Captum's `InputXGradient`): what
    /// each value adds to the output, if the model were linear. Of a token the sum over its F elements tells
    /// that.
    pub fn times_input(&self) -> Vec<f32> {
        self.gradient.iter().zip(&self.input).map(|(gradient, input)| gradient * input).collect()
    }
}

impl Sequential {
    /// The gradient of an output by the values of each of the sequences: which frames and features the output
    /// depends on there, and in which direction. `output` is the number of one, or `None` for the class that
    /// [`Sequential::predict`] gives (of a model with one output: that).
    ///
    /// It is the gradient of the logit where the last layer has a softmax or a sigmoid, since those flatten out
    /// where a model is sure. Of a model that gives a value at each timestep it is that of the sequence's last
    /// one. A model of tokens is differentiated by the vectors of its first layer. There is no dropout; neither
    /// parameters nor their gradients nor the states of layers change.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    ///
    /// let x = Sequences::from_array(&[0.1, -0.4, 0.3, 0.9, 0.2, -0.7], [1, 3, 2])?;
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(8)).add(Dense::new(3));
    /// model.build(2)?;
    /// let found = model.saliency(&x, None)?;
    /// assert_eq!(found[0].output, model.predict(&x)?.classes()[0]);
    /// assert_eq!((found[0].gradient.len(), found[0].norms().len()), (6, 3));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Option`] for an output that the model does not
    /// have; [`Error::Features`], [`Error::Token`]; [`Error::Unsupported`] if the only layer takes tokens; and
    /// those of the layers and the device.
    pub fn saliency(&self, x: &Sequences, output: Option<usize>) -> Result<Vec<Saliency>> {
        let (Some(last), Some(input_size)) = (self.layers.last(), self.input_size) else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        if input_size != x.features() {
            return Err(other_features(OP, input_size, x.features()));
        }
        let width = last.output_size();
        if let Some(output) = output.filter(|&output| output >= width) {
            return Err(Error::Option {
                option: "Sequential::saliency",
                found: format!("output {output}"),
                expected: format!("below {width}, the outputs of the last layer"),
            });
        }
        self.check_rows(OP)?;
        self.check_input(x)?;
        let _aside = Aside::new(self);
        let rows: Vec<_> = (0..x.len()).collect();
        let mut found = Vec::with_capacity(x.len());
        for rows in rows.chunks(32) {
            // A stateful layer begins each batch anew.
            self.reset_state();
            self.saliency_of(x, rows, output, &mut found)?;
        }
        Ok(found)
    }

    fn saliency_of(
        &self,
        x: &Sequences,
        rows: &[usize],
        output: Option<usize>,
        found: &mut Vec<Saliency>,
    ) -> Result<()> {
        let device = self.params.device();
        let counting = batch::Counting { packed: false, ..self.counting() };
        let batch = batch::batch(x, None, self.rows(), rows, counting, &device)?;
        let tape = Tape::for_inputs(&self.params);
        let (mut layers, mut values) = (self.all(), batch.x);
        let tokens = counting.tokens;
        if tokens {
            if layers.len() < 2 {
                return Err(Error::Unsupported {
                    what: OP,
                    with: "a model of one layer, which takes tokens",
                    help: "a token is no number: what comes after its vector is differentiated",
                });
            }
            values = layers.remove(0).forward(&Tape::inference(&self.params), &values)?;
        }
        let input = tape.input(values.tensor().clone()).with_steps_of(&values);
        let (last, before) = Self::before_last(&layers, &tape, &input)?;
        let (logits, activation) = Self::last_logits(last, &tape, &before)?;
        let tags = match self.crf() {
            Some(crf) => crf.best_tags(&Tape::inference(&self.params), &logits)?,
            None => Vec::new(),
        };
        let outputs = match activation {
            Activation::Softmax | Activation::Sigmoid => logits,
            activation => activation.forward(&tape, &logits)?,
        };
        let meaning = self.meaning();
        let words = outputs.tensor().to_vec()?;
        let width = last.output_size();
        let per_row = words.len() / rows.len();
        let mut seeds = vec![0.0; words.len()];
        let mut chosen = Vec::with_capacity(rows.len());
        for (number, &row) in rows.iter().enumerate() {
            let steps = match self.rows() {
                Rows::One => 1,
                Rows::Frames => x.frames(row),
                Rows::Fixed(n) => n,
            };
            let at = number * per_row + steps.saturating_sub(1) * width;
            let values = &words[at..at + width];
            let class = || match tags.get(at / width) {
                Some(&tag) => tag as usize,
                None if width > 1 => meaning.class(values),
                None => 0,
            };
            let output = output.unwrap_or_else(class);
            seeds[at + output] = 1.0;
            chosen.push((output, values[output]));
        }
        let seeds = Tensor::from_slice(&seeds, outputs.shape(), &device)?;
        let gradients = tape.backward_from(&[(&outputs, seeds)])?;
        let features = input.shape().last().copied().unwrap_or(1);
        let gradient = gradients.get(&input).map(Tensor::to_vec).transpose()?;
        let input = input.tensor().to_vec()?;
        let gradient = gradient.unwrap_or_else(|| vec![0.0; input.len()]);
        let size = input.len() / rows.len();
        for ((number, &row), (output, value)) in rows.iter().enumerate().zip(chosen) {
            let own = |all: &[f32]| all[number * size..][..x.frames(row) * features].to_vec();
            let (gradient, input) = (own(&gradient), own(&input));
            found.push(Saliency { output, value, features, gradient, input, tokens });
        }
        Ok(())
    }
}
