//! From sequences of tokens to sequences of tokens, as in translation.

mod look;
mod search;

pub use search::Hypothesis;

use super::functions::reshape;
use super::{Activation, Attention, Dense, Embedding, Lstm, LstmState, Merge, Params, concat};
use crate::autograd::{Tape, Var};
use crate::check::check_share;
use crate::loss::{CrossEntropy, Labels, RowWeights};
use crate::{Error, Lengths, Result, Tensor};

/// An encoder that reads tokens, and a decoder that generates tokens and attends to the encoder's outputs
/// (Sutskever et al. 2014, arXiv 1409.3215; Luong et al. 2015, arXiv 1508.04025): the decoder's output
/// and its context go through `tanh(W [h; context])` to a softmax over the tokens.
///
/// Tokens are numbers from 0. The tokens of start and end are internal to the model.
///
/// ```
/// use wgpu_lstm::{Device, Tape, nn::{Params, Seq2Seq}, train::Adam};
/// let params = Params::new(&Device::auto()?);
/// // 10 tokens to read, 5 to generate.
/// let model = Seq2Seq::new(10, 5).embedding_size(8).hidden_size(16).build(&params)?;
/// let (read, say) = ([vec![1, 2, 3], vec![9]], [vec![4, 0], vec![1, 1, 2]]);
/// let mut adam = Adam::new(1e-2);
/// for _ in 0..3 {
///     let tape = Tape::new(&params);
///     let loss = model.loss(&tape, &read, &say)?; // by teacher forcing
///     tape.backward(&loss)?;
///     adam.step(&params)?;
/// }
/// let said: Vec<Vec<u32>> = model.greedy(&params, &read, 20)?;
/// let best = &model.beam(&params, &read, 4, 20)?[0][0];
/// println!("{:?} with the log-probability {}", best.tokens, best.log_probability);
/// # let _ = said;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a model does nothing until it is built and runs"]
pub struct Seq2Seq {
    tokens: [usize; 2],
    embedding_size: usize,
    hidden_size: usize,
    num_layers: usize,
    bidirectional: bool,
    dropout: f32,
    attention: Option<Attention>,
    built: Option<Box<Built>>,
}

#[derive(Debug, Clone)]
struct Built {
    source: Embedding,
    encoder: Lstm,
    target: Embedding,
    decoder: Lstm,
    attention: Option<(Attention, Dense)>,
    head: Dense,
}

/// The encoder's outputs, and the decoder's state. Several states for each row of the outputs stand side by
/// side.
struct Memory {
    outputs: Var,
    states: Vec<LstmState>,
}

impl Seq2Seq {
    /// A model that reads `source_tokens` different tokens and generates `target_tokens` different ones,
    /// with 64 features a token, 128 units, one layer and multiplicative attention.
    pub fn new(source_tokens: usize, target_tokens: usize) -> Self {
        Self {
            tokens: [source_tokens, target_tokens],
            embedding_size: 64,
            hidden_size: 128,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.0,
            attention: Some(Attention::general()),
            built: None,
        }
    }

    /// Sets the features of a token.
    pub fn embedding_size(mut self, size: usize) -> Self {
        self.embedding_size = size;
        self
    }

    /// Sets the units of each layer of encoder and decoder.
    pub fn hidden_size(mut self, size: usize) -> Self {
        self.hidden_size = size;
        self
    }

    /// Sets the number of layers of encoder and decoder.
    pub fn num_layers(mut self, layers: usize) -> Self {
        self.num_layers = layers;
        self
    }

    /// Makes the encoder bidirectional: half of its units read from the end. The decoder always runs
    /// forward.
    pub fn bidirectional_encoder(mut self) -> Self {
        self.bidirectional = true;
        self
    }

    /// Drops values between layers, and before the softmax, in training.
    pub fn dropout(mut self, rate: f32) -> Self {
        self.dropout = rate;
        self
    }

    /// Sets how the decoder attends to the encoder's outputs.
    pub fn attention(mut self, attention: Attention) -> Self {
        self.attention = Some(attention);
        self
    }

    /// Leaves out attention: the decoder gets only the encoder's last state.
    pub fn no_attention(mut self) -> Self {
        self.attention = None;
        self
    }

    /// The model with its parameters in `params`. There is no input size: [`Seq2Seq::new`] has the numbers
    /// of tokens.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0, a dropout that is no share, and an odd hidden size of a
    /// bidirectional encoder.
    pub fn build(mut self, params: &Params) -> Result<Self> {
        let (e, h) = (self.embedding_size, self.hidden_size);
        if self.bidirectional && !h.is_multiple_of(2) {
            return Err(Error::Option {
                option: "Seq2Seq::hidden_size",
                found: h.to_string(),
                expected: "an even number: half of the encoder's units read backwards".into(),
            });
        }
        super::check_size("Seq2Seq::target_tokens", self.tokens[1])?;
        check_share("Seq2Seq::dropout", self.dropout)?;
        let layers = |lstm: Lstm| {
            let lstm = lstm.num_layers(self.num_layers).return_sequences();
            if self.num_layers > 1 { lstm.dropout(self.dropout) } else { lstm }
        };
        let encoder = match self.bidirectional {
            true => Lstm::new(h / 2).bidirectional(Merge::Concat),
            false => Lstm::new(h),
        };
        let before = params.mark();
        let made = (|| -> Result<Built> {
            Ok(Built {
                source: Embedding::new(self.tokens[0], e).build(params)?,
                encoder: layers(encoder).build(params, e)?,
                // The start is one more.
                target: Embedding::new(self.tokens[1] + 1, e).build(params)?,
                decoder: layers(Lstm::new(h)).build(params, e)?,
                attention: match self.attention.take() {
                    Some(attention) => Some((
                        attention.build(params, h, h)?,
                        Dense::new(h).activation(Activation::Tanh).build(params, 2 * h)?,
                    )),
                    None => None,
                },
                // The end is one more.
                head: Dense::new(self.tokens[1] + 1).build(params, h)?,
            })
        })();
        if made.is_err() {
            params.drop_since(before);
        }
        self.built = Some(Box::new(made?));
        Ok(self)
    }

    fn built(&self) -> Result<&Built> {
        let what = "this Seq2Seq";
        self.built.as_deref().ok_or(Error::NotBuilt { what, call: "build" })
    }

    /// The number of the start, which is read, and of the end, which is generated: that after the last token.
    fn edge(&self) -> u32 {
        self.tokens[1] as u32
    }

    fn encode<S: AsRef<[u32]>>(&self, tape: &Tape, source: &[S]) -> Result<Memory> {
        let built = self.built()?;
        let x = look_up(tape, &built.source, source)?;
        let out = built.encoder.run(tape, &x, None)?;
        let states = match self.bidirectional {
            true => out
                .state
                .chunks(2)
                .map(|pair| {
                    let both = |of: fn(&LstmState) -> &Var| {
                        let parts: Vec<_> = pair.iter().map(|s| of(s).clone()).collect();
                        concat(tape, &parts)
                    };
                    Ok(LstmState { h: both(|s| &s.h)?, c: both(|s| &s.c)? })
                })
                .collect::<Result<_>>()?,
            false => out.state,
        };
        Ok(Memory { outputs: out.output, states })
    }

    /// Logits `[B,U,tokens+1]` for what comes after each token, and the decoder's state. With several states
    /// for each row of the outputs `y` has a row for each, and they are side by side in the logits.
    fn decode(&self, tape: &Tape, memory: &Memory, y: &Var) -> Result<(Var, Vec<LstmState>)> {
        let (y, states) = self.before_head(tape, memory, y)?;
        Ok((self.built()?.head.forward(tape, &y)?, states))
    }

    /// What the logits of [`Seq2Seq::decode`] are made of, and the decoder's state.
    fn before_head(&self, tape: &Tape, memory: &Memory, y: &Var) -> Result<(Var, Vec<LstmState>)> {
        let built = self.built()?;
        let out = built.decoder.run(tape, y, Some(&memory.states))?;
        let mut y = out.output;
        if let Some((attention, mix)) = &built.attention {
            let (rows, h) = (memory.outputs.shape()[0], self.hidden_size);
            let shape = [rows, y.tensor().len() / (rows * h), h];
            if y.shape() != shape {
                y = reshape(tape, &y, &shape)?;
            }
            let context = attention.forward(tape, &y, &memory.outputs)?.context;
            y = mix.forward(tape, &concat(tape, &[y, context])?)?;
        }
        let y = super::functions::dropout(tape, &y, self.dropout, false)?;
        Ok((y, out.state))
    }

    /// Logits `[B,U,target_tokens+1]` of the first token of each row of `target` and of the token after each
    /// of its tokens; the last class is the end. U is the most tokens of a row plus 1; [`Var::lengths`] has
    /// each row's end.
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; [`Error::Label`] for a number that is no token; [`Error::Length`] for a
    /// row of `source` without tokens; [`Error::Count`] if there are not as many rows of both.
    pub fn forward<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        tape: &Tape,
        source: &[S],
        target: &[T],
    ) -> Result<Var> {
        self.built()?.head.forward(tape, &self.features(tape, source, target)?)
    }

    /// What the logits of [`Seq2Seq::forward`] are made of.
    fn features<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        tape: &Tape,
        source: &[S],
        target: &[T],
    ) -> Result<Var> {
        let built = self.built()?;
        if source.len() != target.len() {
            let (expected, found) = (source.len(), target.len());
            return Err(Error::Count { op: "Seq2Seq", shape: vec![expected], expected, found });
        }
        let classes = self.tokens[1];
        for (row, tokens) in target.iter().enumerate() {
            if let Some(&found) = tokens.as_ref().iter().find(|&&t| t as usize >= classes) {
                return Err(Error::Label { row, found, classes });
            }
        }
        let memory = self.encode(tape, source)?;
        let edge = self.edge();
        let begun: Vec<Vec<u32>> = target
            .iter()
            .map(|tokens| std::iter::once(edge).chain(tokens.as_ref().iter().copied()).collect())
            .collect();
        let y = look_up(tape, &built.target, &begun)?;
        Ok(self.before_head(tape, &memory, &y)?.0)
    }

    /// The mean cross-entropy of the tokens of `target`, and of the end of each, each given those
    /// before it (teacher forcing): `[1]`.
    ///
    /// # Errors
    /// As [`Seq2Seq::forward`].
    pub fn loss<S: AsRef<[u32]>, T: AsRef<[u32]>>(
        &self,
        tape: &Tape,
        source: &[S],
        target: &[T],
    ) -> Result<Var> {
        let y = self.features(tape, source, target)?;
        let steps = y.shape()[1];
        let mut labels = Vec::with_capacity(target.len() * steps);
        for (row, tokens) in target.iter().enumerate() {
            labels.extend_from_slice(tokens.as_ref());
            labels.resize((row + 1) * steps, self.edge());
        }
        let device = y.tensor().device();
        let labels = Labels::new(&labels, &device)?;
        let weights = match y.lengths() {
            Some(lengths) => Some(RowWeights::from_lengths(lengths, steps)?),
            None => None,
        };
        let kind = CrossEntropy::new();
        self.built()?.head.cross_entropy(tape, &y, &kind, &labels, weights.as_ref())
    }
}

/// The vectors of rows of tokens, with their lengths if they differ.
fn look_up<S: AsRef<[u32]>>(tape: &Tape, table: &Embedding, rows: &[S]) -> Result<Var> {
    let lengths: Vec<_> = rows.iter().map(|row| row.as_ref().len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    if let Some(row) = lengths.iter().position(|&l| l == 0) {
        return Err(Error::Length { row, found: 0, max: u32::MAX as usize });
    }
    let mut tokens = Vec::with_capacity(rows.len() * longest);
    for (row, of) in rows.iter().enumerate() {
        tokens.extend_from_slice(of.as_ref());
        tokens.resize((row + 1) * longest, 0);
    }
    let device = tape.params().device();
    let ragged = lengths.iter().any(|&l| l < longest);
    let lengths = ragged.then(|| Lengths::new(&lengths, &device)).transpose()?;
    let tokens = Tensor::from_u32(&tokens, [rows.len(), longest], &device)?;
    // With the lengths: padding has no gradient.
    table.forward(tape, &Var::from(tokens).with_lengths(lengths))
}
