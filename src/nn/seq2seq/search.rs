//! Decoding: greedy, and by beam search.

use super::{Memory, Seq2Seq};
use crate::autograd::{Tape, Var};
use crate::nn::{LstmState, Params, check_size};
use crate::ops::frames::embedding::embedding as gather;
use crate::ops::norm::softmax::log_softmax;
use crate::{Error, Lengths, Result, Tensor};

/// A result of a beam search.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hypothesis {
    /// The tokens, without the end.
    pub tokens: Vec<u32>,
    /// The log-probability of the tokens and, if `ended`, of the end behind them.
    pub log_probability: f32,
    /// Whether the model generated the end.
    pub ended: bool,
}

impl Seq2Seq {
    /// Decodes each row of `source` greedily: always the likeliest token, up to the end or to `most` tokens.
    /// Waits for the device.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a probability is no number, and as [`Seq2Seq::forward`].
    pub fn greedy<S: AsRef<[u32]>>(
        &self,
        params: &Params,
        source: &[S],
        most: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let mut said = vec![Vec::new(); source.len()];
        if source.is_empty() {
            return Ok(said);
        }
        let tape = Tape::inference(params);
        let mut memory = self.encode(&tape, source)?;
        let mut last = vec![self.edge(); source.len()];
        let mut ended = vec![false; source.len()];
        for _ in 0..most {
            let log = self.step(&tape, &mut memory, &last)?;
            for (row, log) in log.chunks_exact(self.tokens[1] + 1).enumerate() {
                let best =
                    (0..log.len()).fold(0, |b, j| if log[j] > log[b] { j } else { b }) as u32;
                ended[row] |= best == self.edge();
                if !ended[row] {
                    said[row].push(best);
                    last[row] = best;
                }
            }
            if ended.iter().all(|&e| e) {
                break;
            }
        }
        Ok(said)
    }

    /// The log-probabilities of the token after each of `last`.
    fn step(&self, tape: &Tape, memory: &mut Memory, last: &[u32]) -> Result<Vec<f32>> {
        let y = self.built()?.target.lookup(tape, last, [last.len(), 1])?;
        let (logits, states) = self.decode(tape, memory, &y)?;
        memory.states = states;
        let log = log_softmax(logits.tensor())?.to_vec()?;
        match log.iter().position(|l| l.is_nan()) {
            Some(at) => Err(Error::NotFinite {
                what: "a probability",
                place: format!("class {}", at % (self.tokens[1] + 1)),
                help: "the parameters are no numbers, or far too large",
            }),
            None => Ok(log),
        }
    }

    /// Decodes each row of `source` by a beam search, the likeliest sequence first: at each step the `width`
    /// likeliest prefixes are extended, up to the end or to `most` tokens. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Option`] for a width of 0, and as [`Seq2Seq::greedy`].
    pub fn beam<S: AsRef<[u32]>>(
        &self,
        params: &Params,
        source: &[S],
        width: usize,
        most: usize,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        check_size("Seq2Seq::width", width)?;
        if source.is_empty() {
            return Ok(Vec::new());
        }
        let tape = Tape::inference(params);
        let all = self.encode(&tape, source)?;
        (0..source.len())
            .map(|row| {
                let mut memory = take_rows(&all, &[row as u32])?;
                let mut done: Vec<Hypothesis> = Vec::new();
                let begin = Hypothesis { tokens: vec![], log_probability: 0.0, ended: false };
                let mut open = vec![begin];
                for _ in 0..most {
                    let last: Vec<_> = open
                        .iter()
                        .map(|h| h.tokens.last().copied().unwrap_or(self.edge()))
                        .collect();
                    let log = self.step(&tape, &mut memory, &last)?;
                    let classes = self.tokens[1] + 1;
                    let mut next: Vec<(f32, usize, usize)> = Vec::new();
                    for (from, (h, log)) in open.iter().zip(log.chunks_exact(classes)).enumerate() {
                        let of =
                            |(token, log): (usize, &f32)| (h.log_probability + log, from, token);
                        next.extend(log.iter().enumerate().map(of));
                    }
                    // Ties go to the earlier: a stable sort.
                    next.sort_by(|a, b| b.0.total_cmp(&a.0));
                    next.truncate(width);
                    let (mut goes_on, mut from_rows) = (Vec::new(), Vec::new());
                    for (log_probability, from, token) in next {
                        let mut tokens = open[from].tokens.clone();
                        if token as u32 == self.edge() {
                            done.push(Hypothesis { tokens, log_probability, ended: true });
                        } else {
                            tokens.push(token as u32);
                            goes_on.push(Hypothesis { tokens, log_probability, ended: false });
                            from_rows.push(from as u32);
                        }
                    }
                    open = goes_on;
                    done.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
                    done.truncate(width);
                    // Extending a sequence only makes it less likely.
                    let enough = done.len() == width
                        && open
                            .iter()
                            .all(|h| h.log_probability <= done[width - 1].log_probability);
                    if open.is_empty() || enough {
                        open.clear();
                        break;
                    }
                    memory = take_rows(&memory, &from_rows)?;
                }
                done.extend(open);
                done.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
                done.truncate(width);
                Ok(done)
            })
            .collect()
    }
}

/// Some rows of a memory, in this order; a row may come more than once.
fn take_rows(memory: &Memory, rows: &[u32]) -> Result<Memory> {
    let device = memory.outputs.tensor().device();
    let ids = Tensor::from_u32(rows, [rows.len()], &device)?;
    let take = |var: &Var| -> Result<Var> {
        let mut shape = var.shape().to_vec();
        let sizes = [shape[0], var.tensor().len() / shape[0]];
        shape[0] = rows.len();
        Ok(gather(&ids, var.tensor(), sizes)?.reshape(shape)?.into())
    };
    let lengths = match memory.outputs.lengths() {
        Some(lengths) => {
            let of: Vec<_> = rows.iter().map(|&r| lengths.values()[r as usize] as usize).collect();
            Some(Lengths::new(&of, &device)?)
        }
        None => None,
    };
    let states = memory.states.iter().map(|s| Ok(LstmState { h: take(&s.h)?, c: take(&s.c)? }));
    Ok(Memory {
        outputs: take(&memory.outputs)?.with_lengths(lengths),
        states: states.collect::<Result<_>>()?,
    })
}
