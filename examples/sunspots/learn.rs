//! A model of the past, and what it says.

use super::{Paths, WINDOW};
use anyhow::Result;
use wgpu_lstm::prelude::*;

/// Trains a model to give the next years of windows, all before the cut.
pub fn fitted(
    mut model: Sequential,
    known: &Sequences,
    cut: usize,
    years: usize,
    epochs: usize,
) -> Result<Sequential> {
    let (train, _) = Windows::new(WINDOW, years).of(known)?.split_at(cut);
    model.compile(AdamW::new(5e-3), Loss::MeanAbsoluteError, &[]);
    let steps = (epochs * train.len().div_ceil(32)) as u64;
    let fit = Fit::new().epochs(epochs).clip(Clip::GlobalNorm(1.0));
    model.fit(&train.x, &train.y, fit.schedule(CosineDecay::new(steps)).quiet())?;
    Ok(model)
}

/// Numbers of sunspots of scaled roots.
pub fn counts<'p>(scaler: &Standardizer, paths: impl Iterator<Item = &'p [f32]>) -> Result<Paths> {
    let roots = scaler.inverse(&Sequences::new(1, paths)?)?;
    let square = |root: &f32| root.max(0.0).powi(2);
    Ok(roots.iter().map(|path| path.iter().map(square).collect()).collect())
}
