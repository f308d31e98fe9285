//! The models, and how one learns from speech that nobody labelled.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::Result;
use wgpu_lstm::nn::{Conv1d, Group, Padding};
use wgpu_lstm::prelude::*;

/// What tells a frame from its neighbours, without a layer in between.
pub fn linear(device: &Device, seed: u64, classes: usize) -> Sequential {
    let neighbours = Conv1d::new(classes, 9).padding(Padding::Same);
    Sequential::new(device).seed(seed).add(neighbours.activation(Activation::Softmax))
}

/// Two LSTMs that read in both directions, each with dropout behind it; the last layer is yet to come.
pub fn network(device: &Device, seed: u64, dropout: f32) -> Sequential {
    let lstm = || {
        let lstm = Lstm::new(64).kernel_init(Init::PyTorch).recurrent_init(Init::PyTorch);
        lstm.bias_init(Init::PyTorch).bidirectional(Merge::Concat).return_sequences()
    };
    let lower = Sequential::new(device).seed(seed).add(lstm()).add(Dropout::new(dropout));
    lower.add(lstm()).add(Dropout::new(dropout))
}

/// A network that has learned to fill in stretches of three frames that are blanked out, other ones in each epoch.
pub fn pretrained(
    device: &Device,
    seed: u64,
    speech: &Sequences,
    epochs: usize,
) -> Result<Sequential> {
    let features = speech.features();
    let blanked = IterableDataset::new(features, |epoch| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed << 32 | epoch);
        Ok(speech.iter().map(move |frames| {
            let mut heard = frames.to_vec();
            for begin in (0..heard.len()).step_by(features) {
                if rng.random_bool(0.2) {
                    let end = heard.len().min(begin + 3 * features);
                    // The mean of all.
                    heard[begin..end].fill(0.0);
                }
            }
            Ok(Sample::new(heard).targets(Targets::values(frames, features)))
        }))
    });
    let mut model = network(device, seed, 0.1).add(Dense::new(features));
    model.compile(Adam::new(3e-3), Loss::MeanSquaredError, &[]);
    let fit = Fit::new().epochs(epochs).seed(seed).clip(Clip::GlobalNorm(1.0));
    let fit = fit.schedule(CosineDecay::new((epochs * speech.len().div_ceil(32)) as u64));
    model.fit_dataset(&blanked.shuffle(speech.len()), fit)?;
    Ok(model)
}

/// Gives a network the weights of another, but for the last layer, and lets them go on learning: the lower the more
/// slowly, and not before the layers above have found their way (Howard & Ruder 2018).
pub fn tune<'a>(
    model: &mut Sequential,
    base: &Sequential,
    fit: Fit<'a>,
    epochs: usize,
) -> Result<Fit<'a>> {
    model.build(base.input_size().unwrap_or_default())?;
    let params = model.params();
    for name in params.names().iter().filter(|name| name.starts_with("lstm")) {
        params.set(name, &base.params().get(name)?)?;
    }
    params.group(|name| name.starts_with("lstm_1."), Group::new().rate(0.7))?;
    params.group(|name| name.starts_with("lstm."), Group::new().rate(0.49))?;
    model.freeze(..4)?;
    Ok(fit.on_epoch(move |run| match run.epoch() * 10 / epochs {
        0 => Ok(()),
        1 => run.model().unfreeze(2..),
        _ => run.model().unfreeze(..),
    }))
}
