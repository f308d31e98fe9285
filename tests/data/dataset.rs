//! Data sets and streams have the bits of sequences in memory.

use crate::common::{Folder, devices};
use wgpu_lstm::data::{Dataset, IterableDataset, Sample, Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Dropout, Lstm};
use wgpu_lstm::train::{Adam, Callback, Ema, Fit, History, Loss, Metric, Run, Sgd};
use wgpu_lstm::{Device, Error, Result, Sequential};

/// Sequences of 1 to 6 frames of 2 features; whether their sum is above 0, or the sum up to each frame.
pub(crate) struct Sums {
    pub(crate) count: usize,
    pub(crate) frames: bool,
}

impl Sums {
    fn values(&self, row: usize) -> Vec<f32> {
        (0..2 * (1 + row * 5 % 6)).map(|i| ((row * 31 + i) as f32 * 0.731).sin()).collect()
    }

    fn target(&self, values: &[f32]) -> Vec<f32> {
        let each = |t: usize| f32::from(values[..2 * (t + 1)].iter().sum::<f32>() > 0.0);
        let last = values.len() / 2 - 1;
        if self.frames { (0..=last).map(each).collect() } else { vec![each(last)] }
    }

    fn weight(&self, row: usize) -> f32 {
        (row % 4) as f32 * 0.5
    }

    pub(crate) fn in_memory(&self) -> (Sequences, Targets) {
        let rows: Vec<_> = (0..self.count).map(|row| self.values(row)).collect();
        let y: Vec<_> = rows.iter().flat_map(|row| self.target(row)).collect();
        (Sequences::new(2, rows).unwrap(), Targets::values(y, 1))
    }
}

impl Dataset for Sums {
    fn features(&self) -> usize {
        2
    }

    fn len(&self) -> usize {
        self.count
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let values = self.values(index);
        let targets = Targets::values(self.target(&values), 1);
        Ok(Sample::new(values).targets(targets))
    }

    fn frames(&self, index: usize) -> Option<usize> {
        Some(1 + index * 5 % 6)
    }
}

/// Another data set with weights.
struct Weighted(Sums);

impl Dataset for Weighted {
    fn features(&self) -> usize {
        2
    }

    fn len(&self) -> usize {
        self.0.count
    }

    fn get(&self, index: usize) -> Result<Sample> {
        Ok(self.0.get(index)?.weight(self.0.weight(index)))
    }
}

/// The samples of a data set one after the other.
fn stream(sums: &Sums) -> IterableDataset<'_> {
    IterableDataset::new(2, |_| Ok((0..sums.count).map(|row| sums.get(row))))
}

/// A model with dice in each step.
pub(crate) fn model(device: &Device, frames: bool) -> Sequential {
    let lstm = Lstm::new(9);
    let lstm = if frames { lstm.return_sequences() } else { lstm };
    let mut model = Sequential::new(device)
        .seed(11)
        .add(lstm)
        .add(Dropout::new(0.3))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(0.02), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model
}

/// All bits of a model, and of what its training was measured at.
pub(crate) fn bits(model: &Sequential, history: &History) -> Vec<u32> {
    let params = model.params();
    let values = params.names().into_iter().flat_map(|name| params.get(&name).unwrap());
    let measured = history.epochs.iter().flat_map(|epoch| {
        let both = [Some(&epoch.training), epoch.validation.as_ref()];
        let both = both.into_iter().flatten();
        both.flat_map(|e| [e.loss].into_iter().chain(e.metrics.clone())).collect::<Vec<_>>()
    });
    values.chain(measured).map(f32::to_bits).collect()
}

pub(crate) fn fit<'a>() -> Fit<'a> {
    Fit::new().epochs(2).batch_size(5).seed(4).quiet()
}

/// The bits after a training of a fresh model.
fn after(
    device: &Device,
    frames: bool,
    train: impl FnOnce(&mut Sequential) -> Result<History>,
) -> Vec<u32> {
    let mut model = model(device, frames);
    let history = train(&mut model).unwrap();
    bits(&model, &history)
}

#[test]
fn a_data_set_gives_the_bits_of_sequences_in_memory() {
    for device in devices() {
        for frames in [false, true] {
            let data = Sums { count: 33, frames };
            let (x, y) = data.in_memory();
            let fit = || fit().validation_split(0.2).accumulate(2);
            let expected = after(device, frames, |model| model.fit(&x, &y, fit()));
            for workers in [0, 1, 3, usize::MAX] {
                let found = after(device, frames, |m| m.fit_dataset(&data, fit().workers(workers)));
                assert_eq!(found, expected, "{workers} workers, frames {frames}, on {device}");
            }
            let found = after(device, frames, |model| model.fit_dataset((&x, &y), fit()));
            assert_eq!(found, expected);
            // Behind a pointer, and validated by another data set.
            let (other, boxed) = (Sums { count: 7, frames }, Box::new(&data) as Box<dyn Dataset>);
            let (other_x, other_y) = other.in_memory();
            let expected = after(device, frames, |model| {
                let fit = self::fit().validation_data(&other_x, &other_y).average(Ema::new(0.9));
                model.fit(&x, &y, fit)
            });
            let found = after(device, frames, |model| {
                let fit = self::fit().validation_dataset(&other).average(Ema::new(0.9));
                model.fit_dataset(&boxed, fit)
            });
            assert_eq!(found, expected, "frames {frames}, on {device}");
        }
    }
}

#[test]
fn a_stream_gives_the_bits_of_sequences_in_their_order() {
    for device in devices() {
        let data = Sums { count: 18, frames: true };
        let (x, y) = data.in_memory();
        let stream = stream(&data);
        let fit = || fit().validation_data(&x, &y);
        let expected = after(device, true, |model| model.fit(&x, &y, fit().shuffle(false)));
        for workers in [0, 2] {
            let found = after(device, true, |m| m.fit_dataset(&stream, fit().workers(workers)));
            assert_eq!(found, expected, "{workers} workers on {device}");
        }
        let found = after(device, true, |model| {
            model.fit_dataset(&stream, self::fit().validation_dataset(&stream))
        });
        assert_eq!(found, expected, "{device}");
    }
}

#[test]
fn weights_of_samples_are_those_of_fit() {
    let device = &devices()[0];
    let data = Weighted(Sums { count: 14, frames: false });
    let (x, y) = data.0.in_memory();
    let weights: Vec<_> = (0..14).map(|row| data.0.weight(row)).collect();
    let expected = after(device, false, |m| m.fit(&x, &y, fit().sample_weights(&weights)));
    assert_eq!(after(device, false, |model| model.fit_dataset(&data, fit())), expected);
    let plain = after(device, false, |model| model.fit_dataset(&data.0, fit()));
    assert_ne!(plain, expected);
}

#[test]
fn evaluation_and_prediction_are_those_of_sequences_in_memory() {
    for device in devices() {
        for frames in [false, true] {
            let data = Sums { count: 13, frames };
            let (x, y) = data.in_memory();
            let stream = stream(&data).shuffle(10);
            let mut model = model(device, frames);
            model.build(2).unwrap();
            let expected = model.evaluate_batches(&x, &y, 4).unwrap();
            assert_eq!(model.evaluate_dataset(&data, 4).unwrap(), expected);
            assert_eq!(model.evaluate_dataset(&stream, 4).unwrap(), expected);
            let expected = model.predict_batches(&x, 4).unwrap();
            assert_eq!(model.predict_dataset(&data, 4).unwrap(), expected);
            assert_eq!(model.predict_dataset(&stream, 4).unwrap(), expected);
            assert_eq!(model.predict_dataset((&x, &y), 4).unwrap(), expected);
            // Without targets there is nothing to compare with.
            let bare =
                IterableDataset::new(2, |_| Ok((0..3).map(|i| Ok(Sample::new([i as f32; 4])))));
            let rows = if frames { 6 } else { 3 };
            assert_eq!(model.predict_dataset(&bare, 2).unwrap().rows(), rows);
            let error = model.evaluate_dataset(&bare, 2).unwrap_err();
            let Error::Sample { op: "Sequential::evaluate_dataset", index: 0, error } = error
            else {
                panic!("{error}")
            };
            assert!(matches!(*error, Error::Targets { found: 0, .. }), "{error}");
        }
    }
}

/// Writes a checkpoint after every third step, and ends a training at some step.
pub(crate) struct Power<'a>(pub(crate) &'a std::path::Path, pub(crate) Option<u64>);

impl Callback for Power<'_> {
    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        if run.steps().is_multiple_of(3) {
            run.save_checkpoint(self.0);
        }
        match Some(run.steps()) == self.1 {
            true => Err(Error::custom("the power went off")),
            false => Ok(()),
        }
    }
}

#[test]
fn a_training_goes_on_in_the_middle_of_an_epoch() {
    let device = &devices()[0];
    let data = Sums { count: 26, frames: false };
    let (x, y) = data.in_memory();
    let of_epochs = IterableDataset::new(2, |epoch: u64| {
        let data = &data;
        Ok((0..).map(move |row| data.get(row + epoch as usize)))
    });
    let of_epochs = of_epochs.take(26).shuffle(8);
    let folder = Folder::new("dataset_resume");
    type Train<'a> = Box<dyn Fn(&mut Sequential, Fit<'_>) -> Result<History> + 'a>;
    let cases: [(&str, Train<'_>); 3] = [
        ("data set", Box::new(|model, fit| model.fit_dataset(&data, fit))),
        ("buckets", Box::new(|model, fit| model.fit_dataset(&data, fit.bucket_by_length(3)))),
        ("stream", Box::new(|model, fit| model.fit_dataset(&of_epochs, fit))),
    ];
    for (case, train) in &cases {
        let expected = after(device, false, |model| train(model, fit()));
        // Six steps an epoch.
        for end in [4, 6, 10] {
            let path = folder.path().join(format!("{case}{end}"));
            let run = |model: &mut Sequential, end| {
                train(model, fit().callback(Power(&path, end)).resume(&path))
            };
            assert!(matches!(run(&mut model(device, false), Some(end)), Err(Error::Custom(_))));
            let found = after(device, false, |model| run(model, None));
            assert_eq!(found, expected, "{case}, ended at step {end}");
        }
    }
    // What was begun in memory goes on from a data set, and not from a stream.
    let path = folder.path().join("either");
    let run = fit().callback(Power(&path, Some(4)));
    assert!(model(device, false).fit(&x, &y, run).is_err());
    let expected = after(device, false, |model| model.fit(&x, &y, fit()));
    let found = after(device, false, |model| {
        model.fit_dataset(&data, fit().callback(Power(&path, None)).resume(&path))
    });
    assert_eq!(found, expected);
    let error = model(device, false).fit_dataset(&of_epochs, fit().resume(&path)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Fit::resume", .. }), "{error}");
}

#[test]
fn a_stream_gives_other_samples_and_another_order_in_each_epoch() {
    let device = &devices()[0];
    let opened = std::sync::Mutex::new(Vec::new());
    let data = Sums { count: 12, frames: false };
    let stream = |buffer| {
        let stream = IterableDataset::new(2, |epoch| {
            opened.lock().unwrap().push(epoch);
            Ok((0..12).map(|row| data.get(row)))
        });
        stream.shuffle(buffer)
    };
    let (plain, shuffled) = (stream(1), stream(12));
    let in_order = after(device, false, |model| model.fit_dataset(&plain, fit()));
    let drawn = after(device, false, |model| model.fit_dataset(&shuffled, fit()));
    assert_ne!(in_order, drawn);
    assert_eq!(drawn, after(device, false, |model| model.fit_dataset(&shuffled, fit())));
    assert_ne!(drawn, after(device, false, |m| m.fit_dataset(&shuffled, fit().seed(5))));
    assert_eq!(in_order, after(device, false, |m| m.fit_dataset(&shuffled, fit().shuffle(false))));
    assert_eq!(*opened.lock().unwrap(), [0, 1].repeat(5));
    // Epochs are counted from `compile` on.
    let mut model = model(device, false);
    for _ in 0..2 {
        model.fit_dataset(&plain, fit().epochs(1)).unwrap();
    }
    assert_eq!(*opened.lock().unwrap(), [0, 1].repeat(6));
}

#[test]
fn a_stateful_layer_goes_on_from_batch_to_batch() {
    let device = &devices()[0];
    let data = Sums { count: 12, frames: false };
    let (x, y) = data.in_memory();
    let model = || {
        let mut model = Sequential::new(device).add(Lstm::new(3).stateful()).add(Dense::new(1));
        model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
        model
    };
    let fit = || Fit::new().batch_size(4).shuffle(false).quiet();
    let [mut memory, mut loaded, mut streamed] = [model(), model(), model()];
    let expected = memory.fit(&x, &y, fit()).unwrap();
    let found = [
        loaded.fit_dataset(&data, fit()).unwrap(),
        streamed.fit_dataset(&stream(&data), fit()).unwrap(),
    ];
    let expected = bits(&memory, &expected);
    assert_eq!([bits(&loaded, &found[0]), bits(&streamed, &found[1])], [&expected[..]; 2]);
    // A number of samples that does not go is told before the first batch where it is known, else with the last.
    let error = model().fit_dataset(&data, fit().batch_size(5)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Fit::batch_size", .. }), "{error}");
    let error = model().fit_dataset(&stream(&data), fit().batch_size(5)).unwrap_err();
    assert!(matches!(error, Error::State { expected: 5, found: 2, .. }), "{error}");
}

/// The batch that went bad is loaded once more to tell what did.
#[test]
fn a_training_that_diverges_says_where() {
    let device = &devices()[0];
    let data = Sums { count: 20, frames: false };
    let (x, y) = data.in_memory();
    let stream = stream(&data);
    let told = |train: &dyn Fn(&mut Sequential, Fit<'_>) -> Result<History>| {
        let mut model = Sequential::new(device).add(Lstm::new(3)).add(Dense::new(1));
        model.compile(Sgd::new(1e30), Loss::MeanSquaredError, &[]);
        train(&mut model, fit().shuffle(false)).unwrap_err()
    };
    let expected = told(&|model, fit| model.fit(&x, &y, fit));
    assert!(matches!(expected, Error::Diverged { batch: Some(_), .. }), "{expected}");
    assert_eq!(told(&|model, fit| model.fit_dataset(&data, fit)), expected);
    assert_eq!(told(&|model, fit| model.fit_dataset(&stream, fit)), expected);
    assert_eq!(told(&|model, fit| model.fit_dataset(&stream, fit.accumulate(3))), {
        told(&|model, fit| model.fit(&x, &y, fit.accumulate(3)))
    });
}
