//! All parts of a training at once.

use super::{bits, folder};
use crate::common::{devices, quick};
use std::path::Path;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Dropout, Embedding, Group, Lstm, Regularizer};
use wgpu_lstm::train::{
    Average, Callback, Clip, EarlyStopping, Ema, Fit, History, Loss, Metric, NAdam,
    ReduceOnPlateau, Run, StepDecay,
};
use wgpu_lstm::{Device, Error, Sequential};

/// 24 sequences of tokens, with weights, and 16 to validate on.
fn data(rows: usize, seed: usize) -> (Sequences, Targets, Vec<f32>) {
    let token = |row: usize, t: usize| ((row * 7 + t * 5 + seed) * 13 % 29) as u32;
    let tokens: Vec<Vec<u32>> =
        (0..rows).map(|row| (0..4).map(|t| token(row, t)).collect()).collect();
    let y: Vec<f32> = tokens.iter().map(|row| f32::from(u8::from(row[1] > 13))).collect();
    let weights = (0..rows).map(|row| (row % 5) as f32 * 0.5).collect();
    (Sequences::from_tokens(&tokens).unwrap(), Targets::values(y, 1), weights)
}

/// Ends at some step, and writes checkpoints after every second.
struct Power<'a>(&'a Path, Option<u64>);

impl Callback for Power<'_> {
    fn after_step(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
        if run.steps().is_multiple_of(2) {
            run.save_checkpoint(self.0);
        }
        match self.1 {
            Some(end) if run.steps() == end => Err(Error::custom("the power went off")),
            _ => Ok(()),
        }
    }
    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
        run.save_checkpoint(self.0);
        Ok(())
    }
}

fn run(
    device: &Device,
    path: &Path,
    end: Option<u64>,
) -> Result<(Sequential, History, Vec<u32>), Error> {
    let ((x, y, weights), (v, w, _)) = (data(24, 0), data(16, 3));
    let mut model = Sequential::new(device)
        .seed(3)
        .add(Embedding::new(29, 3).sparse())
        .add(Lstm::new(5).stateful().return_sequences().zoneout(0.1, 0.1))
        .add(Dropout::new(0.2))
        .add(Lstm::new(4).kernel_max_norm(0.9).kernel_regularizer(Regularizer::l2(0.01)))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    let metrics = [Metric::Accuracy, Metric::RocAuc, Metric::F1(Average::Class(1))];
    let nadam = NAdam::new(0.1).weight_decay(0.01).decoupled_weight_decay();
    model.compile(nadam, Loss::BinaryCrossEntropy, &metrics);
    model.build(1)?;
    let params = model.params();
    params.group(|name| name.starts_with("lstm_1.bias"), Group::new().frozen())?;
    params.group(|name| name.starts_with("embedding."), Group::new().rate(0.5))?;
    let mut rates = Vec::new();
    let fit = Fit::new()
        .epochs(9)
        .batch_size(4)
        .accumulate(2)
        .validation_data(&v, &w)
        .sample_weights(&weights)
        .clip(Clip::GlobalNorm(0.5))
        .average(Ema::new(0.7).warm_up())
        .schedule(StepDecay::new(4, 0.9))
        .callback(ReduceOnPlateau::new("loss").factor(0.5).patience(0).threshold(0.05))
        .callback(EarlyStopping::new("val_roc_auc").patience(3).min_delta(0.01))
        .callback(Power(path, end))
        .resume(path)
        .quiet();
    let fit = fit.on_epoch(|run| {
        rates.extend(run.learning_rate().map(f32::to_bits));
        Ok(())
    });
    let history = model.fit(&x, &y, fit)?;
    Ok((model, history, rates))
}

#[test]
fn it_goes_on_from_any_step() {
    for device in devices() {
        let folder = folder("everything");
        let path = folder.path().join("never");
        let (whole, history, rates) = run(device, &path, None).unwrap();
        let expected = bits(&whole, &history);
        // The early end came, or this tests less than it should; and so did the lower rate.
        let epochs = history.epochs.len();
        assert!(history.stopped.is_some() && (4..9).contains(&epochs), "{history:?}");
        assert!(rates.windows(2).any(|two| f32::from_bits(two[1]) < 0.6 * f32::from_bits(two[0])));
        let steps = 3 * epochs as u64;
        for end in (1..=steps).step_by(if quick() { 5 } else { 1 }) {
            let path = folder.path().join(format!("at_{end}"));
            let error = run(device, &path, Some(end)).err().unwrap();
            assert!(matches!(error, Error::Custom(_)), "{error}");
            let (model, found, after) = run(device, &path, None).unwrap();
            assert_eq!(bits(&model, &found), expected, "ended at step {end} on {device}");
            assert_eq!(found.stopped, history.stopped, "ended at step {end} on {device}");
            assert!(rates.ends_with(&after), "ended at step {end}: {after:?}, {rates:?}");
        }
    }
}
