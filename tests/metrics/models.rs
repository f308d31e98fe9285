//! The metrics of a model that gives what it gets, in batches of every size, on both devices.

use super::host::{TAGS, likeliest};
use super::{Average, Evaluation, Metric, Sequences, Targets, Vectors};
use super::{close, devices, identity, sequences, trained, vectors};
use wgpu_lstm::loss::CrossEntropy;
use wgpu_lstm::train::{Fit, Loss};

/// Ways to go through all rows: by training, with the weights of the samples if there are some, in batches of
/// these sizes; by evaluation without.
const BATCHES: [usize; 4] = [1, 2, 4, 9];

fn metrics_of_counts(classes: usize) -> Vec<(Metric, String)> {
    let mut metrics = Vec::new();
    for (what, of) in [
        ("precision", Metric::Precision as fn(Average) -> Metric),
        ("recall", Metric::Recall),
        ("f1", Metric::F1),
    ] {
        metrics.push((of(Average::Macro), format!("{what}_macro")));
        metrics.push((of(Average::Micro), format!("{what}_micro")));
        for class in 0..classes {
            metrics.push((of(Average::Class(class)), format!("{what}_each {class}")));
        }
    }
    metrics
}

fn named(metrics: &[(Metric, &str)]) -> Vec<(Metric, String)> {
    metrics.iter().map(|(metric, name)| (metric.clone(), (*name).to_owned())).collect()
}

/// What a file has for a metric's name, of which an index is a part.
fn expected(v: &Vectors, case: &str, metrics: &[(Metric, String)]) -> Vec<f32> {
    let of = |name: &String| {
        let (name, at) = name.split_once(' ').unwrap_or((name, "0"));
        v.get(&format!("{case}_{name}"))[at.parse::<usize>().unwrap()]
    };
    metrics.iter().map(|(_, name)| of(name)).collect()
}

struct Case<'a> {
    v: &'a Vectors,
    name: &'a str,
    width: usize,
    loss: Loss,
    metrics: &'a [(Metric, String)],
}

impl Case<'_> {
    /// Without weights if the loss ignores nothing, else with both.
    fn check(&self, x: &Sequences, y: &Targets, weighted: bool) {
        let metrics: Vec<_> = self.metrics.iter().map(|(metric, _)| metric.clone()).collect();
        let way = if weighted { "weighted" } else { "plain" };
        let expected = expected(self.v, &format!("{}_{way}", self.name), self.metrics);
        let samples = match weighted {
            true => self.v.get("samples"),
            false => vec![1.0; x.len()],
        };
        for device in devices() {
            let mut model = identity(self.width, self.loss.clone(), &metrics, device);
            let same = |what: &str, found: &Evaluation| {
                let what = format!("{} {way}, {what} on {device}", self.name);
                assert_eq!(found.metrics.len(), metrics.len(), "{what}");
                let pairs = found.metrics.iter().zip(&expected).zip(self.metrics);
                for ((found, expected), (_, name)) in pairs {
                    // By the sums in single precision.
                    close(&format!("{name} of {what}"), &[*found], &[*expected], 2e-6);
                }
            };
            for batch in BATCHES {
                let found = trained(&mut model, x, y, &samples, batch);
                same(&format!("trained by {batch}"), &found);
                if !weighted {
                    let found = model.evaluate_batches(x, y, batch).unwrap();
                    same(&format!("evaluated by {batch}"), &found);
                }
            }
        }
    }
}

fn labels(values: &[f32]) -> Targets {
    Targets::classes(values.iter().map(|&l| l as u32).collect::<Vec<_>>())
}

#[test]
fn of_classes() {
    let v = vectors();
    let lengths = v.usizes("lengths");
    let mut metrics = metrics_of_counts(5);
    metrics.extend(named(&[
        (Metric::Accuracy, "accuracy"),
        (Metric::TopK(2), "top_2"),
        (Metric::TopK(3), "top_3"),
        (Metric::Mcc, "mcc"),
        (Metric::LogLoss, "log_loss"),
        (Metric::Perplexity, "perplexity"),
        (Metric::RocAuc, "roc_auc"),
        (Metric::AveragePrecision, "average_precision"),
    ]));
    let x = sequences(&v.get("multi_x"), 5, &lengths);
    let case = |loss| Case { v: &v, name: "multi", width: 5, loss, metrics: &metrics };
    case(Loss::CrossEntropy).check(&x, &labels(&v.get("multi_labels")), false);
    // Options of the loss that no metric has.
    let loss = CrossEntropy::new().ignore_index(7).label_smoothing(0.1);
    let loss = Loss::CrossEntropyWith(loss.class_weights([1.0, 2.0, 0.5, 1.0, 3.0]));
    case(loss).check(&x, &labels(&v.get("multi_ignoring")), true);

    let mut metrics = metrics_of_counts(2);
    metrics.extend(named(&[
        (Metric::Mcc, "mcc"),
        (Metric::RocAuc, "roc_auc"),
        (Metric::AveragePrecision, "average_precision"),
    ]));
    let x = sequences(&v.get("two_x"), 2, &lengths);
    let case = Case { v: &v, name: "two", width: 2, loss: Loss::CrossEntropy, metrics: &metrics };
    case.check(&x, &labels(&v.get("two_labels")), false);
}

#[test]
fn of_yes_and_no() {
    let v = vectors();
    let lengths = v.usizes("lengths");
    for (name, width) in [("one", 1), ("labels", 3)] {
        let mut metrics = metrics_of_counts(width.max(2));
        metrics.extend(named(&[
            (Metric::Accuracy, "accuracy"),
            (Metric::BinaryAccuracy { threshold: 0.3 }, "at_30"),
            (Metric::LogLoss, "log_loss"),
            (Metric::RocAuc, "roc_auc"),
            (Metric::AveragePrecision, "average_precision"),
        ]));
        if width == 1 {
            metrics.push((Metric::Mcc, "mcc".into()));
        }
        let x = sequences(&v.get(&format!("{name}_x")), width, &lengths);
        let y = Targets::values(v.get(&format!("{name}_y")), width);
        for weighted in [false, true] {
            let loss = Loss::BinaryCrossEntropy;
            Case { v: &v, name, width, loss, metrics: &metrics }.check(&x, &y, weighted);
        }
    }
}

#[test]
fn of_numbers() {
    let v = vectors();
    let lengths = v.usizes("lengths");
    let metrics = named(&[
        (Metric::MeanAbsoluteError, "mae"),
        (Metric::MeanSquaredError, "mse"),
        (Metric::RootMeanSquaredError, "rmse"),
        (Metric::MeanAbsolutePercentageError, "mape"),
        (Metric::SymmetricMeanAbsolutePercentageError, "smape"),
        (Metric::Mase { scale: 1.0 }, "mae"),
        (Metric::R2, "r2"),
        (Metric::Pinball { quantile: 0.9 }, "pinball"),
    ]);
    let x = sequences(&v.get("numbers_x"), 2, &lengths);
    let y = Targets::values(v.get("numbers_y"), 2);
    for weighted in [false, true] {
        let loss = Loss::MeanSquaredError;
        Case { v: &v, name: "numbers", width: 2, loss, metrics: &metrics }.check(&x, &y, weighted);
    }
    let metrics = named(&[
        (Metric::Crps { quantiles: vec![0.1, 0.5, 0.9] }, "crps"),
        (Metric::Coverage { lower: 0, upper: 2 }, "coverage"),
    ]);
    let x = sequences(&v.get("quantiles_x"), 3, &lengths);
    let repeated: Vec<_> = v.get("quantiles_y").iter().flat_map(|&y| [y; 3]).collect();
    let y = Targets::values(repeated, 3);
    for weighted in [false, true] {
        let loss = Loss::MeanAbsoluteError;
        Case { v: &v, name: "quantiles", width: 3, loss, metrics: &metrics }
            .check(&x, &y, weighted);
    }
}

#[test]
fn of_sequences() {
    let v = vectors();
    let lengths = v.usizes("lengths");
    // Logits of which the likeliest are the tags that were found.
    let found = v.get("tags_found");
    let x: Vec<_> = found
        .iter()
        .flat_map(|&tag| (0..5).map(move |j| if j == tag as usize { 1.5 } else { 0.25 }))
        .collect();
    assert_eq!(likeliest(&x, 5), found.iter().map(|&t| t as u32).collect::<Vec<_>>());
    let tags = TAGS.map(str::to_owned).to_vec();
    let metrics = [Metric::EditDistance, Metric::ErrorRate, Metric::Bleu, Metric::SpanF1 { tags }];
    let names = ["tags_edit_distance", "tags_error_rate", "tags_bleu"];
    let mut expected: Vec<_> = names.iter().map(|name| v.get(name)[0]).collect();
    expected.push(v.get("tags_scores")[2]);
    let x = sequences(&x, 5, &lengths);
    let y = labels(&v.get("tags_expected"));
    for device in devices() {
        let mut model = identity(5, Loss::CrossEntropy, &metrics, device);
        for batch in BATCHES {
            let found = model.evaluate_batches(&x, &y, batch).unwrap();
            close(&format!("by {batch} on {device}"), &found.metrics, &expected, 1e-6);
        }
        // A sequence that counts twice is one that is there twice, one of weight 0 is not there.
        let weights = [2.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 2.0];
        let weighted = trained(&mut model, &x, &y, &weights, 4);
        let order = [0, 0, 1, 3, 4, 5, 7, 8, 8];
        let twice = Sequences::new(5, order.map(|i| x.get(i))).unwrap();
        let starts: Vec<usize> =
            (0..lengths.len()).map(|i| lengths[..i].iter().sum::<usize>()).collect();
        let all = v.get("tags_expected");
        let own = order.iter().flat_map(|&i| all[starts[i]..starts[i] + lengths[i]].to_vec());
        let found = model.evaluate(&twice, &labels(&own.collect::<Vec<_>>())).unwrap();
        close(&format!("weights on {device}"), &weighted.metrics, &found.metrics, 1e-6);
    }
}

#[test]
fn a_confusion_matrix_of_a_model() {
    let v = vectors();
    let x = sequences(&v.get("multi_x"), 5, &v.usizes("lengths"));
    for device in devices() {
        let model = identity(5, Loss::CrossEntropy, &[], device);
        let matrix = model.confusion_matrix(&x, &labels(&v.get("multi_labels"))).unwrap();
        let found: Vec<_> = (0..5).flat_map(|l| matrix.row(l).to_vec()).map(|w| w as f32).collect();
        assert_eq!(found, v.get("multi_plain_matrix"));
        // What the loss ignores does not count.
        let loss = Loss::CrossEntropyWith(CrossEntropy::new().ignore_index(7));
        let model = identity(5, loss, &[], device);
        let ignoring = v.get("multi_ignoring");
        let matrix = model.confusion_matrix(&x, &labels(&ignoring)).unwrap();
        let count: f64 = (0..5).flat_map(|l| matrix.row(l)).sum();
        assert_eq!(count as usize, ignoring.iter().filter(|&&l| l != 7.0).count());
        let x = sequences(&v.get("one_x"), 1, &v.usizes("lengths"));
        let model = identity(1, Loss::BinaryCrossEntropy, &[], device);
        let matrix = model.confusion_matrix(&x, &Targets::values(v.get("one_y"), 1)).unwrap();
        let f1 = matrix.f1(Average::Class(1)) as f32;
        close("F1", &[f1], &[v.get("one_plain_f1_each")[1]], 1e-6);
    }
}

#[test]
fn values_go_by_names() {
    let v = vectors();
    let x = sequences(&v.get("multi_x"), 5, &v.usizes("lengths"));
    let y = labels(&v.get("multi_labels"));
    let metrics = [
        Metric::TopK(3),
        Metric::F1(Average::Macro),
        Metric::F1(Average::Class(2)),
        Metric::Accuracy,
        Metric::F1(Average::Micro),
    ];
    let mut model = identity(5, Loss::CrossEntropy, &metrics, &devices()[0]);
    let fit = Fit::new().batch_size(2).validation_data(&x, &y).quiet();
    let epoch = model.fit(&x, &y, fit).unwrap().epochs.remove(0);
    let names = ["top_3_accuracy", "f1", "f1_1", "accuracy", "f1_2"];
    assert_eq!(epoch.training.names, names);
    for (at, name) in names.iter().enumerate() {
        let validation = epoch.validation.as_ref().unwrap().metrics[at];
        assert_eq!(epoch.value(name), Some(epoch.training.metrics[at]), "{name}");
        assert_eq!(epoch.value(&format!("val_{name}")), Some(validation), "{name}");
    }
    assert_eq!(epoch.value("loss"), Some(epoch.training.loss));
    assert_eq!(epoch.value("val_mae"), None);
}
