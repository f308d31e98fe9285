//! A vector for each token.

use super::params::{Layout, ParamId};
use super::{Layer, Params, check_size, check_weights, init, is_built};
use crate::ops::{Check, embedding as op};
use crate::tape::{Tape, Var};
use crate::{DType, Error, Result, Tensor};
use std::sync::Arc;

/// A table with a vector for each of `tokens` tokens: numbers `[B,T]` (or `[B,T,1]` as floats, as
/// [`crate::data::Sequences::from_tokens`] makes them) to `[B,T,E]`.
///
/// A number that is no token of the table gives NaN.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets};
/// use wgpu_lstm::nn::{Activation, Dense, Embedding, Lstm, Sequential};
/// use wgpu_lstm::train::{Adam, Fit, Loss};
/// use wgpu_lstm::Device;
/// // Two sentences of 3 and 2 words, out of a vocabulary of 10.
/// let x = Sequences::from_tokens([vec![4, 2, 9], vec![1, 4]])?;
/// let y = Targets::values([1.0, 0.0], 1);
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Embedding::new(10, 8))
///     .add(Lstm::new(16))
///     .add(Dense::new(1).activation(Activation::Sigmoid));
/// model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[]);
/// model.fit(&x, &y, Fit::new().epochs(2).quiet())?;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedding {
    tokens: usize,
    size: usize,
    padding: Option<usize>,
    frozen: bool,
    vectors: Option<Arc<[f32]>>,
    weight: Option<ParamId>,
}

impl Embedding {
    /// A table of `tokens` vectors with `size` elements.
    pub fn new(tokens: usize, size: usize) -> Self {
        Self { tokens, size, padding: None, frozen: false, vectors: None, weight: None }
    }

    /// The token of padding: its vector is 0, and stays so. PyTorch's `padding_idx`.
    pub fn padding_index(mut self, token: usize) -> Self {
        self.padding = Some(token);
        self
    }

    /// Starts with these vectors, one after the other: those of another training, say.
    pub fn vectors(mut self, vectors: impl Into<Vec<f32>>) -> Self {
        self.vectors = Some(vectors.into().into());
        self
    }

    /// Leaves the vectors as they are in training.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameter, `embedding.weight` `[tokens,E]` (uniform up to 0.05, as
    /// Keras has it), in `params`.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and a padding index that is no token; [`Error::Count`] if
    /// there are more or fewer vectors than tokens.
    pub fn build(mut self, params: &Params) -> Result<Self> {
        self.build_on(params, 1)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(weight) = self.weight else {
            return Err(Error::NotBuilt { what: "this Embedding", call: "build" });
        };
        let sizes = [self.tokens, self.size];
        let (table, d_table) = tape.parameter(weight, &sizes)?;
        let ids = x.tensor();
        let check = Check::new("embedding", "a number for each token");
        let mut shape = ids.shape().to_vec();
        if ids.dtype() == DType::F32 {
            check.features("x", ids, "[..,1]", 1)?;
            shape.pop();
        }
        if shape.is_empty() || ids.is_empty() {
            let (op, found) = ("embedding", ids.shape().to_vec());
            return Err(Error::Empty { op, arg: "x", axes: "[..]", found });
        }
        check.device(ids, &[("weight", &table)])?;
        shape.push(self.size);
        let y = op::embedding(ids, &table, sizes)?.reshape(shape)?;
        let (saved, padding) = (ids.clone(), self.padding);
        let y = tape.push_one(y, !self.frozen, move |d_y, _| {
            op::backward(&saved, d_y, &d_table, sizes, padding)
        });
        Ok(y.with_steps_of(x))
    }

    /// The vectors of tokens `[B,T]`.
    ///
    /// # Errors
    /// [`Error::Label`] for a number that is no token, and those of [`Embedding::forward`].
    pub fn lookup(&self, tape: &Tape, tokens: &[u32], shape: [usize; 2]) -> Result<Var> {
        if let Some(row) = tokens.iter().position(|&t| t as usize >= self.tokens) {
            return Err(Error::Label { row, found: tokens[row], classes: self.tokens });
        }
        let ids = Tensor::from_u32(tokens, shape, &tape.params().device())?;
        self.forward(tape, &ids.into())
    }
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        if is_built(params, self.weight.map(|id| (id, 1)), input_size)? {
            return Ok(());
        }
        check_size("Embedding tokens", self.tokens)?;
        check_size("Embedding size", self.size)?;
        check_weights(self.tokens, self.size)?;
        let option = |option, found: usize, expected: String| {
            Err(Error::Option { option, found: found.to_string(), expected })
        };
        if input_size != 1 {
            let expected = "1: a token in each frame, as Sequences::from_tokens makes them".into();
            return option("the features of an Embedding's input", input_size, expected);
        }
        if let Some(padding) = self.padding.filter(|&p| p >= self.tokens) {
            return option("padding_index", padding, format!("below {}, the tokens", self.tokens));
        }
        let (rows, size) = (self.tokens, self.size);
        let mut values = match &self.vectors {
            Some(vectors) if vectors.len() != rows * size => {
                return Err(Error::Count {
                    op: "Embedding::vectors",
                    shape: vec![rows, size],
                    expected: rows * size,
                    found: vectors.len(),
                });
            }
            Some(vectors) => vectors.to_vec(),
            None => init::uniform(&mut params.rng(), rows * size, 0.05)?,
        };
        if let Some(padding) = self.padding {
            values[padding * size..][..size].fill(0.0);
        }
        let name = format!("{}.weight", params.free_prefix("embedding"));
        self.weight = Some(params.add(name, vec![rows, size], Layout::Plain, &values));
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn check_input(&self, values: &[f32]) -> Result<()> {
        let is_token = |v: f32| v >= 0.0 && v < self.tokens as f32 && v.fract() == 0.0;
        match values.iter().position(|&v| !is_token(v)) {
            Some(at) => Err(Error::Option {
                option: "a token",
                found: format!("{} at {at}", values[at]),
                expected: format!("a whole number below {}, the Embedding's tokens", self.tokens),
            }),
            None => Ok(()),
        }
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Embedding::forward(self, tape, x)
    }

    fn parameter_count(&self) -> usize {
        self.weight.map_or(0, |_| self.tokens * self.size)
    }
}
