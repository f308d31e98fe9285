//! Where an encoder-decoder looks.

use wgpu_lstm::nn::{Attention, LstmState, Params, concat};
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Result, Tape, Var};

pub const EMBEDDING: usize = 64;
pub const HIDDEN: usize = 128;

/// The weight of each letter for each phone and for the end behind them. A `Seq2Seq` keeps its attention to itself; these
/// are its layers once more, with its weights by the names of its parameters.
pub fn attention(
    trained: &Params,
    [letters, phones]: [usize; 2],
    word: &[u32],
    said: &[u32],
) -> Result<Vec<f32>> {
    let params = Params::new(&trained.device());
    let source = Embedding::new(letters, EMBEDDING).build(&params)?;
    let encoder = Lstm::new(HIDDEN / 2).bidirectional(Merge::Concat).return_sequences();
    let encoder = encoder.build(&params, EMBEDDING)?;
    let target = Embedding::new(phones + 1, EMBEDDING).build(&params)?;
    let decoder = Lstm::new(HIDDEN).return_sequences().build(&params, EMBEDDING)?;
    let attention = Attention::general().build(&params, HIDDEN, HIDDEN)?;
    for name in params.names() {
        params.set(&name, &trained.get(&name)?)?;
    }
    let tape = Tape::inference(&params);
    let read = encoder.run(&tape, &source.lookup(&tape, word, [1, word.len()])?, None)?;
    let both = |of: fn(&LstmState) -> &Var| {
        concat(&tape, &read.state.iter().map(|state| of(state).clone()).collect::<Vec<_>>())
    };
    let state = LstmState::new(both(|s| &s.h)?, both(|s| &s.c)?);
    let begun = [&[phones as u32], said].concat();
    let y = target.lookup(&tape, &begun, [1, begun.len()])?;
    let y = decoder.run(&tape, &y, Some(&[state]))?.output;
    attention.forward(&tape, &y, &read.output)?.weights.to_vec()
}
