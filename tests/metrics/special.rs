//! Outputs that are no numbers, data of which nothing counts, and metrics in the middle of an epoch.

use super::host::TAGS;
use super::{Average, Metric, Targets};
use super::{devices, identity, sequences, trained, vectors};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{Dense, Pool, Pooling};
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Device, Sequential};

/// A model whose outputs are not numbers, as after a training that went wrong; a single output or several.
fn broken(width: usize, loss: Loss, metrics: &[Metric], device: &Device) -> Sequential {
    let model = identity(width, loss, metrics, device);
    super::set(model.params(), &vec![f32::NAN; width * width]);
    model
}

fn of_classes() -> Vec<Metric> {
    vec![
        Metric::Accuracy,
        Metric::TopK(9),
        Metric::Precision(Average::Macro),
        Metric::Recall(Average::Micro),
        Metric::F1(Average::Class(1)),
        Metric::Mcc,
    ]
}

#[test]
fn what_is_no_number_is_wrong_or_none() {
    let lengths = [2, 3];
    let x = sequences(&[0.5; 15], 3, &lengths);
    let y = Targets::classes([0, 1, 2, 0, 1]);
    let mut metrics = of_classes();
    metrics.push(Metric::ErrorRate);
    metrics.push(Metric::Bleu);
    let tags = ["O", "B-A", "I-A"].map(str::to_owned).to_vec();
    metrics.push(Metric::SpanF1 { tags });
    let wrong = metrics.len();
    metrics.extend([Metric::LogLoss, Metric::Perplexity, Metric::RocAuc, Metric::AveragePrecision]);
    for device in devices() {
        let model = broken(3, Loss::CrossEntropy, &metrics, device);
        let found = model.evaluate(&x, &y).unwrap();
        let mut expected = vec![0.0; wrong];
        // All tokens are wrong.
        expected[of_classes().len()] = 1.0;
        assert_eq!(found.metrics[..wrong], expected, "{device}");
        assert!(found.metrics[wrong..].iter().all(|v| v.is_nan()), "{found:?} on {device}");
        let matrix = model.confusion_matrix(&x, &y).unwrap();
        assert_eq!([matrix.accuracy(), matrix.row(0).iter().sum()], [0.0; 2]);

        let x = sequences(&[0.5; 5], 1, &lengths);
        let y = Targets::values([0.0, 1.0, 0.0, 0.0, 1.0], 1);
        let mut metrics = vec![
            Metric::Accuracy,
            Metric::BinaryAccuracy { threshold: 0.9 },
            Metric::F1(Average::Macro),
            Metric::F1(Average::Class(0)),
            Metric::Mcc,
        ];
        let wrong = metrics.len();
        metrics.extend([Metric::LogLoss, Metric::RocAuc, Metric::AveragePrecision]);
        let model = broken(1, Loss::BinaryCrossEntropy, &metrics, device);
        let found = model.evaluate(&x, &y).unwrap();
        assert_eq!(found.metrics[..wrong], vec![0.0; wrong], "{device}");
        assert!(found.metrics[wrong..].iter().all(|v| v.is_nan()), "{found:?} on {device}");

        let metrics = [
            Metric::Coverage { lower: 0, upper: 0 },
            Metric::MeanAbsoluteError,
            Metric::RootMeanSquaredError,
            Metric::MeanAbsolutePercentageError,
            Metric::SymmetricMeanAbsolutePercentageError,
            Metric::R2,
            Metric::Pinball { quantile: 0.5 },
            Metric::Crps { quantiles: vec![0.5] },
        ];
        let model = broken(1, Loss::MeanSquaredError, &metrics, device);
        let found = model.evaluate(&x, &y).unwrap();
        assert_eq!(found.metrics[0], 0.0);
        assert!(found.metrics[1..].iter().all(|v| v.is_nan()), "{found:?} on {device}");
    }
}

/// In a batch whose rows all have the weight 0 nothing counts, and of an epoch of such batches all is 0.
#[test]
fn nothing_counts() {
    let x = sequences(&[0.5; 15], 3, &[2, 3]);
    let y = Targets::classes([7; 5]);
    let mut metrics = of_classes();
    let tags = ["O", "B-A", "I-A"].map(str::to_owned).to_vec();
    metrics.extend([Metric::LogLoss, Metric::Perplexity, Metric::RocAuc, Metric::Bleu]);
    metrics.extend([Metric::EditDistance, Metric::SpanF1 { tags }]);
    let loss = wgpu_lstm::loss::CrossEntropy::new().ignore_index(7);
    for device in devices() {
        let loss = Loss::CrossEntropyWith(loss.clone());
        let mut model = identity(3, loss, &metrics, device);
        let found = model.evaluate(&x, &y).unwrap();
        assert_eq!(found.metrics, vec![0.0; metrics.len()], "{device}");
        // Half of the batches count.
        let y = Targets::classes([7, 7, 0, 7, 2]);
        let found = trained(&mut model, &x, &y, &[1.0, 1.0], 1);
        assert!((found.value("perplexity").unwrap() - 3.0).abs() < 1e-5, "{found:?}");
        assert_eq!(found.value("edit_distance"), Some(1.0), "{found:?}");
    }
}

#[test]
fn one_row_a_sequence_and_one_row_alone() {
    let x = Sequences::new(2, [[0.0, 3.0, 1.0, 0.0], [9.0, 9.0, 0.0, 1.0]]).unwrap();
    let metrics = [Metric::F1(Average::Macro), Metric::RocAuc, Metric::TopK(2), Metric::Mcc];
    for device in devices() {
        let mut model = Sequential::new(device).add(Dense::new(2)).add(Pool::new(Pooling::Last));
        model.compile(Sgd::new(0.0), Loss::CrossEntropy, &metrics);
        model.build(2).unwrap();
        super::set(model.params(), &[1.0, 0.0, 0.0, 1.0]);
        let found = model.evaluate(&x, &Targets::classes([0, 1])).unwrap();
        assert_eq!(found.metrics, [1.0; 4], "{device}");
        let one = Sequences::new(2, [[0.0, 3.0, 1.0, 0.0]]).unwrap();
        let found = model.evaluate(&one, &Targets::classes([0])).unwrap();
        assert_eq!(found.metrics[0], 1.0);
        assert!(found.metrics[1].is_nan());
        assert_eq!(found.metrics[2..], [1.0, 0.0]);
    }
}

/// A look in the middle of an epoch changes nothing of what its end gives.
#[test]
fn so_far() {
    let v = vectors();
    let x = sequences(&v.get("multi_x"), 5, &v.usizes("lengths"));
    let labels: Vec<_> = v.get("multi_labels").iter().map(|&l| l as u32).collect();
    let y = Targets::classes(labels);
    let tags = TAGS.map(str::to_owned).to_vec();
    let metrics = [Metric::RocAuc, Metric::Bleu, Metric::SpanF1 { tags }, Metric::Perplexity];
    for device in devices() {
        let mut model = identity(5, Loss::CrossEntropy, &metrics, device);
        let whole = model.fit(&x, &y, Fit::new().batch_size(2).quiet()).unwrap();
        struct Looks(usize);
        impl wgpu_lstm::train::Callback for Looks {
            fn after_step(&mut self, run: &mut wgpu_lstm::train::Run<'_>) -> wgpu_lstm::Result<()> {
                assert_eq!(run.so_far()?.names.len(), 4);
                self.0 += 1;
                Ok(())
            }
        }
        let mut looks = Looks(0);
        let mut model = identity(5, Loss::CrossEntropy, &metrics, device);
        let fit = Fit::new().batch_size(2).callback(&mut looks).quiet();
        let looked = model.fit(&x, &y, fit).unwrap();
        assert_eq!(looks.0, 5);
        assert_eq!(looked.epochs[0].training, whole.epochs[0].training, "{device}");
    }
}
