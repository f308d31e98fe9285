//! The model that a callback sees.

use super::*;
use wgpu_lstm::train::Metric;

/// The same as after the training: what its outputs mean is known, and how they are measured.
#[test]
fn it_predicts_and_evaluates_as_after_the_training() {
    let x = Sequences::from_array(&[0.4, -0.3, 2.0, -1.0], [4, 1, 1]).unwrap();
    let y = Targets::values([1.0, 0.0, 1.0, 0.0], 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Dense::new(1));
    model.compile(Sgd::new(0.0), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model.build(1).unwrap();
    model.params().set("dense.weight", &[1.0]).unwrap();
    let mut seen = None;
    let fit = Fit::new().validation_data(&x, &y).quiet().on_epoch(|run| {
        let model = run.model();
        seen = Some((model.predict(&x)?, model.evaluate(&x, &y)?, model.confusion_matrix(&x, &y)?));
        Ok(())
    });
    let history = model.fit(&x, &y, fit).unwrap();
    let (predicted, evaluated, matrix) = seen.unwrap();
    // A logit of 0.4 means yes.
    assert_eq!(predicted.classes(), [1, 0, 1, 0]);
    assert_eq!(predicted, model.predict(&x).unwrap());
    assert_eq!(Some(evaluated), history.epochs[0].validation);
    assert_eq!(matrix.row(1), [0.0, 2.0]);
}
