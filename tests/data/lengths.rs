//! Batches of similar lengths, and of a number of frames.

use crate::common::devices;
use crate::dataset::{Sums, bits, model};
use std::sync::{Arc, Mutex};
use wgpu_lstm::data::{Dataset, IterableDataset, Sample, Sequences, Targets};
use wgpu_lstm::nn::{Dense, Layer, Lstm, Params};
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Var};

/// Tells the rows and the timesteps of each batch, padded.
#[derive(Clone, Default)]
struct Shapes {
    seen: Arc<Mutex<Vec<[usize; 2]>>>,
}

impl Layer for Shapes {
    fn kind(&self) -> &'static str {
        "shapes"
    }

    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }

    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        let shape = x.shape();
        self.seen.lock().unwrap().push([shape[0], shape[1]]);
        Ok(x.clone())
    }

    fn output_size(&self) -> usize {
        1
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn parameter_count(&self) -> usize {
        0
    }
}

/// Sequences with a long tail of lengths, as those of sentences.
fn lengths() -> Vec<usize> {
    (0..120).map(|i| 1 + (i * 79 % 41) * (i * 47 % 43) / 40).collect()
}

fn data() -> (Sequences, Targets) {
    let rows = lengths().into_iter().map(|n| vec![0.1 * n as f32; n]);
    (Sequences::new(1, rows).unwrap(), Targets::values([0.5; 120], 1))
}

/// The shapes of the batches of an epoch.
fn shapes(device: &Device, fit: Fit<'_>) -> Vec<[usize; 2]> {
    let shapes = Shapes::default();
    let mut model =
        Sequential::new(device).add(shapes.clone()).add(Lstm::new(3)).add(Dense::new(1));
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    let (x, y) = data();
    model.fit(&x, &y, fit.quiet()).unwrap();
    shapes.seen.lock().unwrap().clone()
}

fn area(shapes: &[[usize; 2]]) -> usize {
    shapes.iter().map(|[rows, steps]| rows * steps).sum()
}

#[test]
fn padding_shrinks_to_what_the_lengths_say() {
    for device in devices() {
        let fit = || Fit::new().batch_size(8).seed(3);
        let mut sorted = lengths();
        sorted.sort_unstable();
        let frames: usize = sorted.iter().sum();
        // Batches of sorted sequences are the best of this size: as many buckets as sequences.
        let least: usize = sorted.chunks(8).map(|batch| 8 * batch[7]).sum();
        assert_eq!(area(&shapes(device, fit().bucket_by_length(120))), least);
        // Five buckets of 24 are three batches each, none longer than its bucket's longest.
        let most: usize = sorted.chunks(24).map(|bucket| 24 * bucket[23]).sum();
        let found = area(&shapes(device, fit().bucket_by_length(5)));
        assert!((least..=most).contains(&found), "{found}, expected {least} to {most}");
        let without = area(&shapes(device, fit()));
        assert!(2 * (most - frames) < without - frames, "{most} against {without} of {frames}");
        // Batches are not in the order of their lengths, but where nothing is shuffled.
        let steps =
            |fit| shapes(device, fit).into_iter().map(|[_, steps]| steps).collect::<Vec<_>>();
        assert!(!steps(fit().bucket_by_length(5)).is_sorted());
        assert!(steps(fit().bucket_by_length(120).shuffle(false)).is_sorted());
    }
}

#[test]
fn a_batch_has_the_frames_that_were_asked_for() {
    let device = &devices()[0];
    let longest = lengths().into_iter().max().unwrap();
    for buckets in [None, Some(10)] {
        let fit = Fit::new().batch_frames(3 * longest);
        let fit = buckets.into_iter().fold(fit, Fit::bucket_by_length);
        let shapes = shapes(device, fit.validation_split(0.1));
        assert!(shapes.iter().all(|[rows, steps]| rows * steps <= 3 * longest), "{shapes:?}");
        assert_eq!(shapes.iter().map(|[rows, _]| rows).sum::<usize>(), 120);
        // Short ones are many to a batch, long ones are few.
        let rows = || shapes.iter().map(|[rows, _]| *rows);
        assert!(rows().max() > Some(6) && rows().min() < Some(6), "{shapes:?}");
    }
}

#[test]
fn data_sets_that_know_their_lengths_have_the_bits_of_memory() {
    let fit = || Fit::new().epochs(2).batch_size(4).seed(2).validation_split(0.2).quiet();
    for device in devices() {
        for fit in [
            &(|| fit().bucket_by_length(3)) as &dyn Fn() -> Fit<'static>,
            &|| fit().batch_frames(13),
            &|| fit().batch_frames(13).bucket_by_length(4).accumulate(2),
        ] {
            let data = Sums { count: 30, frames: true };
            let (x, y) = data.in_memory();
            let mut memory = model(device, true);
            let history = memory.fit(&x, &y, fit()).unwrap();
            let expected = bits(&memory, &history);
            for workers in [0, 2] {
                let mut loaded = model(device, true);
                let history = loaded.fit_dataset(&data, fit().workers(workers)).unwrap();
                assert_eq!(bits(&loaded, &history), expected, "{workers} workers on {device}");
            }
        }
        // A stream counts as it goes.
        let data = Sums { count: 30, frames: true };
        let (x, y) = data.in_memory();
        let stream = IterableDataset::new(2, |_| Ok((0..30).map(|row| data.get(row))));
        let fit = || Fit::new().batch_frames(13).quiet();
        let (mut memory, mut streamed) = (model(device, true), model(device, true));
        let expected = memory.fit(&x, &y, fit().shuffle(false)).unwrap();
        let found = streamed.fit_dataset(&stream, fit().validation_dataset(&stream)).unwrap();
        assert_eq!(found.epochs[0].training, expected.epochs[0].training);
        assert!(found.epochs[0].validation.is_some());
        assert_eq!(bits(&streamed, &Default::default()), bits(&memory, &Default::default()));
    }
}

/// Lengths that are not told, or not as they are.
struct Told(Option<usize>);

impl Dataset for Told {
    fn features(&self) -> usize {
        1
    }

    fn len(&self) -> usize {
        3
    }

    fn get(&self, index: usize) -> Result<Sample> {
        Ok(Sample::new(vec![1.0; 2 + index]).targets(Targets::values([1.0], 1)))
    }

    fn frames(&self, index: usize) -> Option<usize> {
        self.0.map(|most| most.min(2 + index))
    }
}

#[test]
fn what_does_not_go_by_lengths_is_an_error() {
    let device = &devices()[0];
    let model = |lstm: Lstm| {
        let mut model = Sequential::new(device).add(lstm).add(Dense::new(1));
        model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
        model
    };
    let fit = || Fit::new().shuffle(false).quiet();
    let (x, y) = data();
    for (fit, option) in [
        (fit().bucket_by_length(2), "Fit::bucket_by_length"),
        (fit().batch_frames(99), "Fit::batch_frames"),
    ] {
        let error = model(Lstm::new(2).stateful()).fit(&x, &y, fit).unwrap_err();
        let is = |what: &str, with: &str| what == option && with == "Lstm::stateful";
        assert!(
            matches!(error, Error::Unsupported { what, with, .. } if is(what, with)),
            "{error}"
        );
    }
    for (fit, option) in [
        (fit().bucket_by_length(0), "Fit::bucket_by_length"),
        (fit().batch_frames(0), "Fit::batch_frames"),
    ] {
        let error = model(Lstm::new(2)).fit(&x, &y, fit).unwrap_err();
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
    }
    let told =
        |data: &Told, fit| model(Lstm::new(2)).fit_dataset(data, fit).unwrap_err().to_string();
    assert_eq!(
        told(&Told(Some(9)), fit().batch_frames(3)),
        "Sequential::fit_dataset: sample 2: Fit::batch_frames is 3, expected at least 4, the frames of a sequence"
    );
    assert_eq!(
        told(&Told(Some(3)), fit().batch_frames(3)),
        "Sequential::fit_dataset: sample 2: Dataset::frames is 3, expected 4, the frames of the sample"
    );
    let unknown = told(&Told(None), fit().bucket_by_length(3));
    assert!(unknown.ends_with("give it Dataset::frames"), "{unknown}");
    assert!(model(Lstm::new(2)).fit_dataset(&Told(None), fit()).is_ok());
}
