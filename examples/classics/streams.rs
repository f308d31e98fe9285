//! Gers, Schmidhuber & Cummins 2000, doi:10.1162/089976600300015015: strings of the embedded Reber grammar without end,
//! one behind the other, and nothing that says where one begins.

use super::learn::Outcome;
use super::reber::{Grammar, SYMBOLS};
use super::tasks::Right;
use rand::RngExt;
use rand_chacha::ChaCha8Rng as Rng;
use wgpu_lstm::prelude::*;

/// Streams that run side by side, the rows of a batch.
const STREAMS: usize = 16;
/// The timesteps through which gradients flow; states are handed on.
const WINDOW: usize = 50;
/// The symbols between two tests.
const ROUND: usize = 40 * WINDOW * STREAMS;

/// Trains until `test` symbols of new streams are without a fault, or gives up, and tests on as many. Right is a symbol
/// before which those that might come were the likeliest.
pub fn learn(
    layer: Lstm,
    limit: usize,
    test: usize,
    rng: &mut Rng,
    device: &Device,
) -> anyhow::Result<Outcome> {
    let head = Dense::new(SYMBOLS).activation(Activation::Softmax);
    let mut model = Sequential::new(device)
        .seed(rng.random())
        .add(layer.return_sequences().stateful())
        .add(head);
    model.compile(Adam::new(0.01), Loss::CrossEntropy, &[]);
    let (mut used, mut solved) = (0, false);
    while used < limit && !solved {
        let (x, y, _) = read(ROUND, rng)?;
        model.reset_state();
        let fit = Fit::new().epochs(1).batch_size(STREAMS).shuffle(false);
        model.fit(&x, &y, fit.clip(Clip::GlobalNorm(1.0)).quiet())?;
        used += ROUND;
        solved = wrong(&model, ROUND, rng)? == 0.0 && wrong(&model, test, rng)? == 0.0;
    }
    Ok(Outcome { used, solved, wrong: wrong(&model, test, rng)? })
}

/// The share of the symbols of new streams before which the model was wrong.
fn wrong(model: &Sequential, symbols: usize, rng: &mut Rng) -> anyhow::Result<f64> {
    let (x, _, truth) = read(symbols, rng)?;
    model.reset_state();
    let found = model.predict_batches(&x, STREAMS)?;
    let steps = found.values().chunks(SYMBOLS).zip(truth.chunks(SYMBOLS));
    let count = steps.filter(|(o, t)| !Right::Likeliest.holds(o, t, SYMBOLS)).count();
    Ok(count as f64 / symbols as f64)
}

/// So many symbols of new streams: a window of each stream, then the next of each. What follows each symbol, and what
/// may.
fn read(symbols: usize, rng: &mut Rng) -> anyhow::Result<(Sequences, Targets, Vec<f32>)> {
    let mut streams = vec![Grammar::default(); STREAMS];
    let mut last: Vec<usize> = streams.iter_mut().map(|stream| stream.next(rng)).collect();
    let (mut x, mut y, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..symbols / (WINDOW * STREAMS) {
        for (stream, last) in streams.iter_mut().zip(&mut last) {
            for _ in 0..WINDOW {
                x.push(*last);
                truth.extend(stream.may_follow());
                *last = stream.next(rng);
                y.push(*last);
            }
        }
    }
    let x = super::draw::one_hot(&x, SYMBOLS);
    let x = Sequences::from_array(&x, [y.len() / WINDOW, WINDOW, SYMBOLS])?;
    Ok((x, Targets::classes(y), truth))
}
