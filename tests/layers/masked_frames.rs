//! Frames that are left out by their value, in loss and metrics of a model.

use crate::common::{close, devices};
use wgpu_lstm::nn::{Crf, Init, LayerNorm, Masking, Padding, Pool1d};
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::Average;

/// A frame that is masked by its value counts in no loss and no metric: of paths, and of frames alone as in Keras.
#[test]
fn frames_masked_by_their_value_are_not_counted() {
    let rows = [vec![0.5, 0.0, 1.0, 0.0], vec![0.3], vec![0.0, 0.2, 0.1]];
    let tags = [0, 2, 1, 2, 1, 1, 0, 2];
    let values = rows.concat();
    let on = |at: &usize| values[*at] != 0.0;
    let whole = Sequences::new(1, &rows).unwrap();
    let kept = rows.map(|row| row.into_iter().filter(|v| *v != 0.0).collect::<Vec<f32>>());
    let kept = Sequences::new(1, kept).unwrap();
    let kept_tags: Vec<u32> = (0..8).filter(on).map(|at| tags[at]).collect();
    let (y, kept_y) = (Targets::classes(tags), Targets::classes(kept_tags));
    let metrics = [Metric::Accuracy, Metric::F1(Average::Macro), Metric::ErrorRate];
    for device in devices() {
        for (late, path) in [(false, true), (true, true), (false, false), (true, false)] {
            let model = |masking: bool| {
                let mut model = Sequential::new(device).seed(6);
                if late {
                    // A mask that another layer than the first makes.
                    model = model.add(Dropout::new(0.0));
                }
                if masking {
                    model = model.add(Masking::new(0.0));
                }
                model = model.add(Dense::new(3).bias_init(Init::PyTorch));
                if path {
                    model = model.add(Crf::new());
                }
                model.compile(Sgd::new(0.5), Loss::CrossEntropy, &metrics);
                model.build(1).unwrap();
                model
            };
            let what = format!("late {late}, path {path}, {device}");
            let (mut masked, mut short) = (model(true), model(false));
            for size in [1, 3] {
                let found = masked.evaluate_batches(&whole, &y, size).unwrap();
                let expected = short.evaluate_batches(&kept, &kept_y, size).unwrap();
                close(&what, &[found.loss], &[expected.loss], 1e-6);
                close(&what, &found.metrics, &expected.metrics, 1e-6);
            }
            if !late {
                let found = masked.confusion_matrix(&whole, &y).unwrap();
                assert_eq!(found, short.confusion_matrix(&kept, &kept_y).unwrap(), "{what}");
            }
            // The gradients of a step, of all and of two batches together.
            for (size, parts) in [(3, 1), (2, if late { 1 } else { 2 })] {
                let fit = || Fit::new().batch_size(size).accumulate(parts).shuffle(false).quiet();
                let found = masked.fit(&whole, &y, fit()).unwrap();
                let expected = short.fit(&kept, &kept_y, fit()).unwrap();
                let losses = [found, expected].map(|history| history.epochs[0].training.loss);
                close(&what, &losses[..1], &losses[1..], 1e-6);
                for name in short.params().names() {
                    let [a, b] = [&masked, &short].map(|m| m.params().get(&name).unwrap());
                    close(&format!("{name}, {what}"), &a, &b, 1e-5);
                }
            }
        }
    }
}

/// A layer at which a mask ends goes on by the rows' lengths: what it gives of a row does not depend on how much longer
/// the others of its batch are.
#[test]
fn behind_a_mask_rows_end_where_they_end() {
    let rows = [vec![3.0, 1.0, 0.0, 2.0, 4.0, 1.0, 2.0], vec![1.0, 2.0, 0.0], vec![2.0, 3.0]];
    let x = Sequences::new(1, &rows).unwrap();
    type Adds = fn(Sequential) -> Sequential;
    let begins: [Adds; 2] = [
        |model| model.add(Masking::new(0.0)).add(Dense::new(3).bias_init(Init::PyTorch)),
        |model| model.add(Embedding::new(5, 3).mask_zero()).add(LayerNorm::new()),
    ];
    let ends: [Adds; 3] = [
        |model| model.add(Conv1d::new(2, 3).padding(Padding::Same)).add(Lstm::new(3)),
        |model| {
            let both = Lstm::new(3).bidirectional(Merge::Concat).return_sequences();
            model.add(Conv1d::new(2, 3).padding(Padding::Same)).add(both)
        },
        |model| model.add(Pool1d::average(2)).add(Pool::new(Pooling::Mean)),
    ];
    for device in devices() {
        for (number, (begin, end)) in
            begins.iter().flat_map(|begin| ends.iter().map(move |end| (begin, end))).enumerate()
        {
            let mut model = end(begin(Sequential::new(device).seed(2)));
            model.build(1).unwrap();
            let [alone, together] = [1, 3].map(|size| model.predict_batches(&x, size).unwrap());
            let what = format!("model {number} on {device}");
            close(&what, together.values(), alone.values(), 1e-6);
        }
    }
}
