//! A table of vectors, one for each token.

mod drop;

use super::functions::{unpacked, without_padding};
use super::{Init, Layer, LayerState, Own, Params, check_size, check_weights, is_built, to_config};
use crate::autograd::{Layout, ParamId};
use crate::autograd::{Tape, Var};
use crate::check::{Check, check_share};
use crate::lengths::Counted;
use crate::ops::frames::embedding as op;
use crate::ops::frames::embedding::Places;
use crate::ops::optim::drawn::RowGradient;
use crate::tensor::room_for;
use crate::{DType, Error, Mask, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A table with a vector for each of `tokens` tokens: numbers `[B,T]` (or `[B,T,1]` as floats, as
/// [`crate::data::Sequences::from_tokens`] makes them) to `[B,T,E]`.
///
/// A number that is no token of the table is an error, unless it is padding; where it stands on a GPU and
/// was computed there (or came as a float, and no gradient is wanted), it gives NaN. In loops of your own
/// give tokens by [`Tensor::from_u32`]: floats on a GPU have to be read back in training.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets};
/// use wgpu_lstm::nn::{Activation, Dense, Embedding, Lstm};
/// use wgpu_lstm::Sequential;
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default = "blank", deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Embedding {
    tokens: usize,
    size: usize,
    padding: Option<usize>,
    mask_zero: bool,
    frozen: bool,
    sparse: bool,
    dropout: f32,
    #[serde(skip)]
    vectors: Option<Arc<[f32]>>,
    init: Option<Init>,
    #[serde(skip)]
    weight: Option<ParamId>,
}

/// What a file that lacks an option gets.
fn blank() -> Embedding {
    Embedding::new(0, 0)
}

impl Embedding {
    /// A table of `tokens` vectors with `size` elements.
    pub fn new(tokens: usize, size: usize) -> Self {
        Self {
            tokens,
            size,
            padding: None,
            mask_zero: false,
            frozen: false,
            sparse: false,
            dropout: 0.0,
            vectors: None,
            init: None,
            weight: None,
        }
    }

    /// Sets the token of padding, whose vector is 0 and stays so, unless a [`super::Dense::tied`] trains it as a weight:
    /// PyTorch's `padding_idx`.
    pub fn padding_index(mut self, token: usize) -> Self {
        self.padding = Some(token);
        self
    }

    /// Leaves out the frames whose token is 0: the output has a [`Mask`] of the others, by which the layers
    /// behind go. An LSTM skips them, a pool does not read them; what computes each frame by itself takes the
    /// vector of token 0, which is trained like any other. Keras' `mask_zero`. In a
    /// [`crate::Sequential`] that gives a value for each frame neither its losses nor its metrics count
    /// these frames, at whatever place of a sequence they are, and [`crate::Sequential::predict`] gives values
    /// for them, too. Where there is no token 0 nothing changes, and lengths go on as such.
    ///
    /// In loops of your own give losses [`crate::loss::RowWeights::from_mask`] of the output's [`Var::mask`].
    /// Tokens that are not known on the host (see [`Tensor::from_u32`]) are read back.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, nn::{Embedding, Params}};
    /// let params = Params::new(&Device::auto()?);
    /// let words = Embedding::new(10, 4).mask_zero().build(&params)?;
    /// let x = words.lookup(&Tape::new(&params), &[7, 2, 3, 5, 0, 0], [2, 3])?;
    /// assert_eq!(x.mask().unwrap().values(), [true, true, true, true, false, false]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn mask_zero(mut self) -> Self {
        self.mask_zero = true;
        self
    }

    /// Sets how the first values are drawn, tokens for `fan_in` and E for `fan_out`: uniform up to 0.05 by
    /// default, Keras' `embeddings_initializer`.
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
        self
    }

    /// Sets the first values, vector by vector: those of another training, for example.
    pub fn vectors(mut self, vectors: impl Into<Vec<f32>>) -> Self {
        self.vectors = Some(vectors.into().into());
        self
    }

    /// Trains only the vectors of the tokens that are in a batch: for large tables, where a step would
    /// otherwise go through all rows. The moments and the decay of a row wait until it is drawn again,
    /// unlike those of Adam and momentum otherwise (PyTorch: `Embedding(sparse=True)` with `SparseAdam`);
    /// without momentum [`crate::train::Sgd`] gives the same vectors either way.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, nn::{Embedding, Params}};
    /// let params = Params::new(&Device::auto()?);
    /// let words = Embedding::new(50_000, 64).sparse().build(&params)?;
    /// let x = words.lookup(&Tape::new(&params), &[7, 49_999], [1, 2])?;
    /// assert_eq!(x.shape(), [1, 2, 64]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// Drops whole tokens in training, each with the probability `rate`, wherever it stands in the batch, and scales the
    /// others to keep the mean: AWD-LSTM's embedding dropout (Gal & Ghahramani 2016; Merity et al. 2018).
    pub fn dropout(mut self, rate: f32) -> Self {
        self.dropout = rate;
        self
    }

    /// Excludes the vectors from training, an optimizer's weight decay included: see
    /// [`crate::nn::Group::frozen`]. Keras' `trainable=False`; [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameter, `embedding.weight` `[tokens,E]` (uniform up to 0.05, as
    /// Keras has it), in `params`. It takes no input size: each frame is one token.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and a padding index that is no token; [`Error::Count`] if
    /// there are more or fewer vectors than tokens; [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params) -> Result<Self> {
        self.build_on(params, 1)?;
        Ok(self)
    }

    /// Runs the layer: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let y = self.vectors_of(tape, x)?;
        if self.mask_zero { masked(tape, x, y) } else { Ok(y) }
    }

    /// As [`Embedding::forward`], of all tokens alike.
    fn vectors_of(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(weight) = self.weight else {
            return Err(Error::NotBuilt { what: "this Embedding", call: "build" });
        };
        let sizes = [self.tokens, self.size];
        let params = tape.params();
        let (table, d_table) = match self.sparse {
            true => (tape.table(weight)?, None),
            false => {
                tape.parameter(weight, &sizes).map(|(value, gradient)| (value, Some(gradient)))?
            }
        };
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
        let learns = tape.trains() && !params.keeps(weight);
        let drawn = self.drawn(x, &shape, learns)?;
        shape.push(self.size);
        let y = op::embedding(ids, &table, sizes)?.reshape(shape)?;
        let (params, size) = (params.clone(), self.size);
        let y = tape.push_one(y, learns, move |d_y, _| match (drawn, d_table) {
            (None, _) => Ok(()),
            (Some(drawn), Some(d_table)) => op::backward(&drawn, d_y, &d_table, sizes),
            (Some(drawn), None) if drawn.is_empty() => Ok(()),
            (Some(drawn), None) => {
                let values = op::backward_rows(&drawn, d_y, size)?;
                let rows = drawn.rows().collect();
                params.add_rows(weight, RowGradient { rows, values });
                Ok(())
            }
        });
        drop::drop_words(tape, ids, y.with_steps_of(x), sizes, self.dropout)
    }

    /// Checks the tokens of the steps that count, and returns the rows that the gradient will reach. Tokens
    /// on a GPU are only read if they are known on the host, or if that is asked for.
    fn drawn(&self, x: &Var, shape: &[usize], learns: bool) -> Result<Option<Places>> {
        let ids = x.tensor();
        let timesteps = shape.get(1).copied().unwrap_or(1);
        let packed = x.packed_dims().and(x.lengths());
        if let Some(lengths) = packed {
            lengths.check_packed("embedding", ids)?;
        }
        let counted = match packed {
            Some(_) => Counted::All,
            None => x.counted("embedding", shape[0], timesteps)?,
        };
        let tokens = self.tokens;
        let known = move |id: u32| if (id as usize) < tokens { Ok(id) } else { Err(id as f32) };
        // The row of a place, or the number there that names none.
        let row: Box<dyn Fn(usize) -> std::result::Result<u32, f32>> =
            match (ids.dtype(), ids.host()) {
                (DType::U32, Some(host)) => Box::new(move |at| known(host[at])),
                _ if ids.gpu().is_some() && !learns => return Ok(None),
                (DType::U32, None) => {
                    let words = ids.to_vec_u32()?;
                    Box::new(move |at| known(words[at]))
                }
                _ => {
                    let values = ids.to_vec()?;
                    Box::new(move |at| op::row_of(values[at], tokens).ok_or(values[at]))
                }
            };
        let inner: usize = shape.iter().skip(2).product();
        let mut drawn = Vec::new();
        for at in 0..ids.len() {
            let (sequence, place) = (at / inner / timesteps, at / inner % timesteps);
            if !counted.counts(sequence, place) {
                continue;
            }
            match row(at) {
                Ok(row) if Some(row as usize) == self.padding => {}
                Ok(row) => drawn.push((at as u32, row)),
                Err(found) => {
                    let row = packed.and_then(|lengths| lengths.row_of(at));
                    let (sequence, place) = row.unwrap_or((sequence, place));
                    return Err(Error::Token { sequence, place, found, tokens });
                }
            }
        }
        Ok(learns.then(|| Places::new(drawn.into_iter())))
    }

    /// The vectors of tokens `[B,T]`: `[B,T,E]`.
    ///
    /// # Errors
    /// Those of [`Embedding::forward`].
    pub fn lookup(&self, tape: &Tape, tokens: &[u32], shape: [usize; 2]) -> Result<Var> {
        let ids = Tensor::from_u32(tokens, shape, &tape.params().device())?;
        self.forward(tape, &ids.into())
    }
}

/// The vectors `y` of the tokens `x`, with a mask that leaves out the tokens of 0, if there are any.
fn masked(tape: &Tape, x: &Var, y: Var) -> Result<Var> {
    let ids = x.tensor();
    let zeros: Vec<bool> = match (ids.dtype(), ids.host()) {
        (DType::U32, Some(host)) => host.iter().map(|&id| id == 0).collect(),
        (DType::U32, None) => ids.to_vec_u32()?.iter().map(|&id| id == 0).collect(),
        _ => ids.to_vec()?.iter().map(|&id| id == 0.0).collect(),
    };
    if let (Some([rows, timesteps]), Some(lengths)) = (x.packed_dims(), x.lengths()) {
        if !zeros.contains(&true) {
            return Ok(y);
        }
        let mut on = vec![false; rows * timesteps];
        for row in lengths.rows() {
            let own = &zeros[row.start..][..row.length];
            on[row.at * timesteps..][..row.length].iter_mut().zip(own).for_each(|(on, z)| *on = !z);
        }
        let mask = Mask::new(&on, [rows, timesteps], &ids.device())?;
        let mask = mask.with_ends(Some(lengths.clone()));
        return Ok(unpacked(tape, &y)?.with_lengths(None).with_mask(Some(mask)));
    }
    let check = Check::new("embedding", "a mask has a value for each row and timestep");
    let [rows, timesteps, _] = check.dims("x", y.tensor(), "[B,T], for Embedding::mask_zero")?;
    let counted = x.counted("embedding", rows, timesteps)?;
    let counts = |at: &usize| counted.counts(at / timesteps, at % timesteps);
    if !(0..zeros.len()).filter(counts).any(|at| zeros[at]) {
        return Ok(y);
    }
    let on: Vec<_> = (0..zeros.len()).map(|at| counts(&at) && !zeros[at]).collect();
    let mask = Mask::new(&on, [rows, timesteps], &ids.device())?.with_ends(x.ends().cloned());
    // What stands in the padding may be no token.
    let y = without_padding(tape, "embedding", &y)?;
    Ok(y.with_lengths(None).with_mask(Some(mask)))
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.weight
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        if is_built(params, self.weight.map(|id| (id, 1)), input_size)? {
            return Ok(());
        }
        check_size("Embedding::tokens", self.tokens)?;
        check_size("Embedding::size", self.size)?;
        check_weights(self.tokens, self.size)?;
        if input_size != 1 {
            return Err(Error::Features {
                op: "Embedding::build_on",
                expected: 1,
                found: input_size,
                help: "a token in each frame, as Sequences::from_tokens makes them",
            });
        }
        if let Some(padding) = self.padding.filter(|&p| p >= self.tokens) {
            return Err(Error::Option {
                option: "Embedding::padding_index",
                found: padding.to_string(),
                expected: format!("below {}, the tokens", self.tokens),
            });
        }
        check_share("Embedding::dropout", self.dropout)?;
        let (rows, size) = (self.tokens, self.size);
        let first = match self.init {
            // PyTorch's embedding is no sum of products, of which its other layers' limits keep the size.
            Some(Init::PyTorch) => Init::Normal { std: 1.0 },
            None if params.begins_as_pytorch() => Init::Normal { std: 1.0 },
            first => first.unwrap_or(Init::Uniform { limit: 0.05 }),
        };
        first.check("Embedding::init")?;
        if self.vectors.is_some() && self.init.is_some() {
            return Err(Error::Unsupported {
                what: "Embedding::init",
                with: "Embedding::vectors",
                help: "both are the first values: leave one out",
            });
        }
        let mut values = match &self.vectors {
            Some(vectors) if vectors.len() != rows * size => {
                return Err(Error::Count {
                    op: "Embedding::vectors",
                    shape: vec![rows, size],
                    expected: rows * size,
                    found: vectors.len(),
                });
            }
            Some(vectors) => {
                let mut values = room_for("the vectors of an Embedding", vectors.len())?;
                values.extend_from_slice(vectors);
                values
            }
            None => first.weight(params, [rows, size], size)?,
        };
        if let Some(padding) = self.padding {
            values[padding * size..][..size].fill(0.0);
        }
        let (mark, name) = (params.mark(), format!("{}.weight", params.free_prefix("embedding")));
        self.weight = Some(match self.sparse {
            true => params.add_table(name, size, values)?,
            false => params.add_windowed(name, vec![rows, size], Layout::Plain, &values)?,
        });
        if self.frozen {
            params.freeze_since(mark);
        }
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn check_input(&self, values: &[f32]) -> Result<()> {
        match values.iter().position(|&v| op::row_of(v, self.tokens).is_none()) {
            Some(place) => {
                let found = values[place];
                Err(Error::Token { sequence: 0, place, found, tokens: self.tokens })
            }
            None => Ok(()),
        }
    }

    fn takes_tokens(&self) -> bool {
        true
    }

    fn takes_packed(&self, _: Own) -> bool {
        true
    }

    fn masked_value(&self, _: Own) -> Option<f32> {
        self.mask_zero.then_some(0.0)
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Embedding::forward(self, tape, x)
    }

    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.vectors_of(tape, x)?, state))
    }

    fn parameter_count(&self) -> usize {
        self.weight.map_or(0, |_| self.tokens * self.size)
    }
}
