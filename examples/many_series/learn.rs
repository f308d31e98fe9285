//! The loop in which a model is trained.

use super::FIRST;
use super::model::{Head, Model};
use super::products::{HORIZON, Products, WEEKS};
use std::ops::Range;
use wgpu_lstm::data::KFold;
use wgpu_lstm::loss::RowWeights;
use wgpu_lstm::nn::Params;
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Tape, Tensor};

/// Trains a model on the past, and forecasts from each of the weeks behind it the quantiles of the next ones.
pub fn forecast(
    products: &Products,
    head: Head,
    embedding: usize,
    origins: Range<usize>,
    epochs: usize,
    device: &Device,
    seed: u64,
) -> anyhow::Result<Vec<[f32; 3]>> {
    let (params, n) = (Params::seeded(device, seed), products.names.len());
    let model = Model::new(n, embedding, head, &params)?;
    let mut optimizer = AdamW::new(5e-3);
    let batches = n.div_ceil(32);
    let schedule = CosineDecay::new((epochs * batches) as u64);
    // The last weeks of the past are targets alone.
    let known = origins.start + 1 - HORIZON;
    for epoch in 0..epochs {
        let folds = KFold::new(batches).shuffle(seed + epoch as u64).split(n)?;
        for (step, (_, batch)) in folds.iter().enumerate() {
            let tape = Tape::new(&params);
            let x = products.features(batch, known, device)?;
            let y = products.targets(batch, known);
            let y = Tensor::from_slice(&y, [batch.len(), known, HORIZON], device)?;
            let weights = products.weights(batch, known, FIRST, |scale| head.weight(scale));
            let outputs = model.forward(&tape, x, batch, &products.scales)?;
            let loss = head.loss(&tape, &outputs, &y, &RowWeights::new(&weights, device)?)?;
            tape.backward(&loss)?;
            params.clip_gradients(Clip::GlobalNorm(1.0))?;
            optimizer.set_learning_rate(5e-3 * schedule.factor((epoch * batches + step) as u64));
            optimizer.step(&params)?;
            device.submit()?;
            if (epoch + 1) % 5 == 0 && step + 1 == batches {
                println!("epoch {}/{epochs}  loss {:.4}", epoch + 1, loss.tensor().to_vec()?[0]);
            }
        }
    }
    let all: Vec<usize> = (0..n).collect();
    let x = products.features(&all, WEEKS, device)?;
    let found = model.forward(&Tape::inference(&params), x, &all, &products.scales)?;
    // The weeks' outputs, of each product.
    let found = found.tensor().to_vec()?;
    let each = found.len() / n / WEEKS;
    let weeks = found.chunks(WEEKS * each);
    let weeks = weeks.flat_map(|all| &all[origins.start * each..origins.end * each]);
    Ok(head.quantiles(&weeks.copied().collect::<Vec<f32>>())?)
}
