//! Decoding: by beam search, and greedily, which is a beam of one.

use super::{Memory, Seq2Seq};
use crate::autograd::{Tape, Var};
use crate::nn::{LstmState, Params, check_size};
use crate::ops::frames::embedding::embedding as gather;
use crate::ops::norm::top_k::{Likely, top_k};
use crate::{Error, Lengths, Result, Tensor};

/// The logits of a step that there is room for: more rows go one after the other.
const ROOM: usize = 1 << 24;

/// A result of a beam search. [`Seq2Seq::attention_maps`] shows what its tokens looked at.
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
        let found = self.beam(params, source, 1, most)?;
        Ok(found
            .into_iter()
            .map(|best| best.into_iter().flat_map(|h| h.tokens).collect())
            .collect())
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
        let together = (ROOM / width.saturating_mul(self.tokens[1] + 1)).max(1);
        let mut beams: Vec<_> = (0..source.len()).map(|row| Beam::new(row, width)).collect();
        for beams in beams.chunks_mut(together) {
            let rows: Vec<_> = beams.iter().map(|beam| beam.row as u32).collect();
            self.search(&tape, all.take(&rows, &rows)?, beams, most)?;
        }
        Ok(beams.into_iter().map(Beam::best).collect())
    }

    /// Extends the beams of all rows of a memory, in one batch, up to the end or by `most` tokens.
    fn search(
        &self,
        tape: &Tape,
        mut memory: Memory,
        beams: &mut [Beam],
        most: usize,
    ) -> Result<()> {
        let edge = self.edge();
        let width = beams.first().map_or(1, |beam| beam.width);
        let mut running: Vec<_> = beams.iter_mut().collect();
        // The prefixes of each row that are in the batch.
        let mut beside = 1;
        for step in 1..=most {
            let last: Vec<_> =
                running.iter().flat_map(|beam| beam.last_tokens(beside, edge)).collect();
            let y = self.built()?.target.lookup(tape, &last, [last.len(), 1])?;
            let (logits, states) = self.decode(tape, &memory, &y)?;
            memory.states = states;
            let likely = top_k(logits.tensor(), width)?;
            let each = likely.len() / running.len();
            for (beam, likely) in running.iter_mut().zip(likely.chunks_exact(each)) {
                beam.extend(likely, each / beside, edge)?;
            }
            let next = running.iter().map(|beam| beam.open.len()).max().unwrap_or(0);
            if next == 0 || step == most {
                break;
            }
            let (mut rows, mut states) = (Vec::new(), Vec::new());
            for (at, beam) in running.iter().enumerate().filter(|(_, beam)| !beam.open.is_empty()) {
                rows.push(at as u32);
                states.extend(beam.origins(next).map(|from| (at * beside + from) as u32));
            }
            running.retain(|beam| !beam.open.is_empty());
            memory = memory.take(&rows, &states)?;
            beside = next;
        }
        Ok(())
    }
}

/// The search for one row.
struct Beam {
    /// The row of the source.
    row: usize,
    width: usize,
    /// The prefixes that are extended, the likeliest first; none if the search is over.
    open: Vec<Hypothesis>,
    /// Which of the prefixes before each of `open` extends.
    from: Vec<usize>,
    /// The likeliest sequences that ended, the likeliest first.
    done: Vec<Hypothesis>,
}

impl Beam {
    fn new(row: usize, width: usize) -> Self {
        let begin = Hypothesis { tokens: vec![], log_probability: 0.0, ended: false };
        Self { row, width, open: vec![begin], from: vec![0], done: Vec::new() }
    }

    /// The last token of each of so many prefixes, at first the edge; where there are fewer, the last one is
    /// repeated.
    fn last_tokens(&self, count: usize, edge: u32) -> impl Iterator<Item = u32> {
        self.repeated(count).map(move |i| self.open[i].tokens.last().copied().unwrap_or(edge))
    }

    /// What each of so many prefixes extends.
    fn origins(&self, count: usize) -> impl Iterator<Item = usize> {
        self.repeated(count).map(|i| self.from[i])
    }

    fn repeated(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let last = self.open.len() - 1;
        (0..count).map(move |i| i.min(last))
    }

    /// Extends the prefixes, given the `k` likeliest tokens after each.
    fn extend(&mut self, likely: &[Likely], k: usize, edge: u32) -> Result<()> {
        let Self { width, open, from, done, .. } = self;
        let mut next = Vec::with_capacity(open.len() * k);
        for (from, (h, likely)) in open.iter().zip(likely.chunks_exact(k)).enumerate() {
            next.extend(
                likely.iter().map(|l| (h.log_probability + l.log_probability, from, l.class)),
            );
        }
        if next.iter().any(|(log_probability, ..)| log_probability.is_nan()) {
            return Err(Error::NotFinite {
                what: "a probability",
                place: format!("row {}", self.row),
                help: "the parameters are no numbers, or far too large",
            });
        }
        // Ties go to the likelier prefix, then to the smaller token.
        next.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        next.truncate(*width);
        let before = std::mem::take(open);
        from.clear();
        for (log_probability, origin, token) in next {
            let mut tokens = before[origin].tokens.clone();
            if token == edge {
                done.push(Hypothesis { tokens, log_probability, ended: true });
            } else {
                tokens.push(token);
                open.push(Hypothesis { tokens, log_probability, ended: false });
                from.push(origin);
            }
        }
        keep_likeliest(done, *width);
        // Extending a sequence only makes it less likely.
        if let Some(least) = done.get(*width - 1)
            && open.iter().all(|h| h.log_probability <= least.log_probability)
        {
            open.clear();
        }
        Ok(())
    }

    /// What was found, the likeliest first.
    fn best(mut self) -> Vec<Hypothesis> {
        self.done.append(&mut self.open);
        keep_likeliest(&mut self.done, self.width);
        self.done
    }
}

/// Sorts them, and keeps so many.
fn keep_likeliest(found: &mut Vec<Hypothesis>, width: usize) {
    found.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
    found.truncate(width);
}

impl Memory {
    /// Some rows of the outputs, and some states, in this order; a state may come more than once.
    fn take(&self, rows: &[u32], states: &[u32]) -> Result<Self> {
        let device = self.outputs.tensor().device();
        let lengths = match self.outputs.lengths() {
            Some(lengths) if !is_all(rows, lengths.values().len()) => {
                let of = rows.iter().map(|&row| lengths.values()[row as usize] as usize);
                Some(Lengths::new(&of.collect::<Vec<_>>(), &device)?)
            }
            lengths => lengths.cloned(),
        };
        let outputs = take_rows(&[&self.outputs], rows)?.remove(0).with_lengths(lengths);
        let parts: Vec<_> = self.states.iter().flat_map(|state| [&state.h, &state.c]).collect();
        let mut parts = take_rows(&parts, states)?.into_iter();
        let mut states = Vec::with_capacity(self.states.len());
        while let (Some(h), Some(c)) = (parts.next(), parts.next()) {
            states.push(LstmState { h, c });
        }
        Ok(Self { outputs, states })
    }
}

/// Whether these are all of so many rows, in their order.
fn is_all(rows: &[u32], count: usize) -> bool {
    rows.len() == count && rows.iter().zip(0..).all(|(&row, at)| row == at)
}

/// Some rows of values that have equally many.
fn take_rows(values: &[&Var], rows: &[u32]) -> Result<Vec<Var>> {
    let Some(first) = values.first() else { return Ok(Vec::new()) };
    let count = first.shape()[0];
    if is_all(rows, count) {
        return Ok(values.iter().map(|&value| value.clone()).collect());
    }
    let ids = Tensor::from_u32(rows, [rows.len()], &first.tensor().device())?;
    let take = |value: &&Var| -> Result<Var> {
        let mut shape = value.shape().to_vec();
        shape[0] = rows.len();
        let sizes = [count, value.tensor().len() / count];
        Ok(gather(&ids, value.tensor(), sizes)?.reshape(shape)?.into())
    };
    values.iter().map(take).collect()
}
