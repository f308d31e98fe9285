//! What is wrong with a sample, or with a stream, is an error that says where.

use crate::common::devices;
use crate::dataset::{fit, model};
use wgpu_lstm::data::{Dataset, IterableDataset, Sample, Sequences, Targets};
use wgpu_lstm::nn::{Dense, Embedding, Lstm};
use wgpu_lstm::train::{Fit, Loss, Run, Sgd};
use wgpu_lstm::{Error, Result, Sequential};

/// A data set with one bad sample.
struct Bad<F>(F);

impl<F: Fn(usize) -> Result<Sample> + Send + Sync> Dataset for Bad<F> {
    fn features(&self) -> usize {
        1
    }

    fn len(&self) -> usize {
        12
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index == 9 {
            return (self.0)(index);
        }
        Ok(Sample::from_tokens(&[1, 2])?.targets(Targets::classes([1])))
    }
}

#[test]
fn what_is_wrong_with_a_sample_names_it() {
    let ok = || Sample::new([1.0, 2.0]).targets(Targets::classes([1]));
    type Get = Box<dyn Fn(usize) -> Result<Sample> + Send + Sync>;
    let cases: [(Get, &str); 11] = [
        (Box::new(|_| Err(Error::custom("the disk is gone"))), "the disk is gone"),
        (Box::new(|i| panic!("no row {i}")), "loading panicked: no row 9"),
        (
            Box::new(|_| Ok(Sample::new([]).targets(Targets::classes([1])))),
            "the length of row 9 is 0",
        ),
        (
            Box::new(|_| Sample::from_tokens(&[1, 5])),
            "place 1 of sequence 9 is 5, no token: expected a whole number below 5",
        ),
        (
            Box::new(|_| Sample::from_tokens(&[1, 1 << 24])),
            "place 1 of sequence 9 is 16777216, no token",
        ),
        (
            Box::new(|_| Ok(Sample::new([f32::NAN]).targets(Targets::classes([1])))),
            "a sequence is not finite in value 0 of sequence 9",
        ),
        (Box::new(|_| Ok(Sample::new([1.0]))), "found"),
        (Box::new(move |_| Ok(ok().targets(Targets::classes([3])))), "is 3, expected 0..=2"),
        (Box::new(move |_| Ok(ok().targets(Targets::classes([1, 1])))), "expected 1"),
        (
            Box::new(move |_| Ok(ok().targets(Targets::values([1.0], 1)))),
            "Loss::CrossEntropy needs",
        ),
        (Box::new(move |_| Ok(ok().weight(-1.0))), "Sample::weight is -1"),
    ];
    for (number, (get, text)) in cases.into_iter().enumerate() {
        let data = Bad(get);
        for workers in [0, 2] {
            let mut model = Sequential::new(&devices()[0])
                .add(Embedding::new(5, 3))
                .add(Lstm::new(3))
                .add(Dense::new(3));
            model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[]);
            let fit = || Fit::new().batch_size(2).shuffle(false).workers(workers).quiet();
            let error = model.fit_dataset(&data, fit()).unwrap_err();
            let told = error.to_string();
            assert!(
                told.starts_with("Sequential::fit_dataset: sample 9: ")
                    && (number == 6 || told.contains(text)),
                "case {number}: {told}"
            );
            let Error::Sample { index: 9, error: inner, .. } = error else { panic!("{told}") };
            assert!(number != 6 || matches!(*inner, Error::Targets { expected: 1, found: 0, .. }));
            // Four steps were made before it, and the model can be trained on.
            let (x, y) = (Sequences::from_tokens([[1, 2]]).unwrap(), Targets::classes([0]));
            let mut steps = 0;
            let count = |run: &mut Run<'_>| {
                steps = run.steps();
                Ok(())
            };
            model.fit(&x, &y, fit().on_epoch(count)).unwrap();
            assert_eq!(steps, 5, "case {number}, {workers} workers");
            // As validation it says so.
            let error = model.fit(&x, &y, fit().validation_dataset(&data)).unwrap_err();
            let told = error.to_string();
            assert!(told.starts_with("Fit::validation_dataset: sample 9: "), "{told}");
        }
    }
}

#[test]
fn what_a_stream_says_is_an_error() {
    let device = &devices()[0];
    let sample = |_| Ok(Sample::new([1.0, 2.0]).targets(Targets::values([1.0], 1)));
    let closed: IterableDataset<'_> = IterableDataset::new(2, |_| -> Result<Vec<Result<Sample>>> {
        Err(Error::custom("closed"))
    });
    let none = IterableDataset::new(2, |_| Ok(Vec::new()));
    let broken = IterableDataset::new(2, |_| {
        Ok((0..9).map(move |i| if i == 7 { Err(Error::custom("torn")) } else { sample(i) }))
    });
    let good = IterableDataset::new(2, |_| Ok((0..9).map(sample)));
    let told = |stream: &IterableDataset<'_>, fit: Fit<'_>| {
        model(device, false).fit_dataset(stream, fit.quiet()).unwrap_err()
    };
    for workers in [0, 1] {
        let fit = || Fit::new().batch_size(3).workers(workers);
        assert_eq!(told(&closed, fit()).to_string(), "closed");
        assert!(matches!(told(&none, fit()), Error::Empty { op: "Sequential::fit_dataset", .. }));
        let error = told(&broken, fit()).to_string();
        assert_eq!(error, "Sequential::fit_dataset: sample 7: torn");
        let panics = IterableDataset::new(2, |_| {
            Ok((0..9).map(move |i| if i == 5 { panic!("five") } else { sample(i) }))
        });
        let error = told(&panics.shuffle(4), fit()).to_string();
        assert_eq!(error, "Sequential::fit_dataset: sample 5: loading panicked: five");
    }
    // And what it cannot serve.
    for (fit, option) in [
        (Fit::new().validation_split(0.1), "Fit::validation_split"),
        (Fit::new().bucket_by_length(2), "Fit::bucket_by_length"),
        (Fit::new().sample_weights(&[1.0]), "Fit::sample_weights"),
    ] {
        let error = told(&good, fit);
        assert!(matches!(error, Error::Unsupported { what, .. } if what == option), "{error}");
    }
    let error = told(&IterableDataset::new(2, |_| Ok((0..9).map(sample))).shuffle(0), fit());
    assert!(matches!(error, Error::Option { option: "IterableDataset::shuffle", .. }), "{error}");
    let narrow = IterableDataset::new(3, |_| Ok((0..9).map(sample)));
    let mut model = model(device, false);
    model.build(2).unwrap();
    let error = model.fit_dataset(&narrow, fit()).unwrap_err();
    assert!(matches!(error, Error::Features { expected: 2, found: 3, .. }), "{error}");
    let error = model.predict_dataset(&narrow, 4).unwrap_err();
    assert!(matches!(error, Error::Features { expected: 2, found: 3, .. }), "{error}");
    // The model takes no harm from any of it.
    model.fit_dataset(&good, fit()).unwrap();
}
