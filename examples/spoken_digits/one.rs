//! One digit a recording.

use wgpu_lstm::Result;
use wgpu_lstm::prelude::*;

/// How many of the digits to test on a model tells that ends in a layer of ten classes.
pub fn accuracy(
    model: Sequential,
    x: &[Sequences; 2],
    digits: &[Vec<u32>; 2],
    epochs: usize,
    seed: u64,
) -> Result<f64> {
    let mut model = model.add(Dense::new(10).activation(Activation::Softmax));
    model.compile(Adam::new(3e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    let [y, test_y] = digits.each_ref().map(Targets::classes);
    let steps = (epochs * x[0].len().div_ceil(32)) as u64;
    let fit = Fit::new().epochs(epochs).seed(seed).schedule(CosineDecay::new(steps));
    model.fit(&x[0], &y, fit.clip(Clip::GlobalNorm(1.0)))?;
    Ok(model.confusion_matrix(&x[1], &test_y)?.accuracy())
}

/// The mean and the deviation of each feature of each recording, as its only frame; of those to train on, and scaled
/// by them, and of those to test on.
pub fn moments(parts: &[Sequences; 2]) -> Result<[Sequences; 2]> {
    let of = |x: &Sequences| -> Result<Sequences> {
        let moments = |recording: usize| -> Result<Vec<f64>> {
            let scaler = Standardizer::fit(&x.select(&[recording])?)?;
            Ok([scaler.means(), scaler.scales()].concat())
        };
        let rows = (0..x.len()).map(moments).collect::<Result<Vec<_>>>()?;
        Sequences::new(2 * x.features(), rows)
    };
    let train = of(&parts[0])?;
    let scaler = Standardizer::fit(&train)?;
    Ok([scaler.transform(&train)?, scaler.transform(&of(&parts[1])?)?])
}
