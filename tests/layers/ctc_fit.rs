//! Models that learn sequences of labels without a place in time.

use crate::common::{Vectors, close, devices};
use wgpu_lstm::data::{IterableDataset, Sample};
use wgpu_lstm::loss::{BeamSearch, Ctc, Reduction};
use wgpu_lstm::nn::{Masking, Pool1d};
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::ErrorRate;
use wgpu_lstm::{Error, Result};

/// Those of the vectors whose logits are finite, with the labels and the frames of each.
const ROWS: [usize; 5] = [0, 1, 2, 4, 5];
const LABELS: [&[u32]; 5] = [&[1, 1, 0, 4], &[0, 0, 1], &[], &[4, 0, 0], &[4, 4]];
const FRAMES: [usize; 5] = [9, 3, 8, 4, 9];

fn ctc() -> Ctc {
    Ctc::new().blank(2).zero_infinity()
}

fn targets() -> Targets {
    Targets::sequences(LABELS)
}

/// The logits of each row that PyTorch saw, or what is as long.
fn rows(of: &[f32]) -> Vec<&[f32]> {
    ROWS.iter().zip(FRAMES).map(|(row, frames)| &of[row * 45..][..frames * 5]).collect()
}

/// A model that gives what it gets.
fn identity(device: &Device, rate: f32, ctc: Ctc, metrics: &[Metric]) -> Sequential {
    let mut model = Sequential::new(device).add(Dense::new(5));
    model.build(5).unwrap();
    let one = |i: usize| f32::from(u8::from(i.is_multiple_of(6)));
    model.params().set("dense.weight", &(0..25).map(one).collect::<Vec<_>>()).unwrap();
    model.compile(Sgd::new(rate), Loss::Ctc(ctc), metrics);
    model
}

/// The loss over an evaluation and a training, and the gradient of a step, are means of what PyTorch says of each row.
#[test]
fn losses_and_gradients_are_pytorchs() {
    let v = Vectors::load("ctc_losses");
    let x = Sequences::new(5, rows(&v.get("x"))).unwrap();
    let (each, d_each) = (v.get("none_zero"), v.get("d_none_zero"));
    let share = |number: usize| 1.0 / LABELS[number].len().max(1) as f64;
    let mean = |weights: [f32; 5]| {
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let of = |n: usize| f64::from(weights[n]) * share(n) / sum;
        let loss: f64 = (0..5).map(|n| of(n) * f64::from(each[ROWS[n]])).sum();
        let mut d_bias = [0.0; 5];
        for (n, row) in rows(&d_each).into_iter().enumerate() {
            // PyTorch's seeds are 1/4, 2/4, … of the rows.
            let scale = of(n) * 4.0 / (ROWS[n] + 1) as f64;
            for (at, d) in row.iter().enumerate() {
                d_bias[at % 5] += scale * f64::from(*d);
            }
        }
        (loss as f32, d_bias.map(|d| -d as f32))
    };
    for device in devices() {
        let (loss, d_bias) = mean([1.0; 5]);
        for size in [1, 2, 3, 5] {
            let model = identity(device, 1.0, ctc(), &[]);
            let found = model.evaluate_batches(&x, &targets(), size).unwrap();
            close(&format!("batches of {size} on {device}"), &[found.loss], &[loss], 1e-5);
        }
        // One step of all, and of two batches together.
        for (size, parts) in [(5, 1), (3, 2)] {
            let mut model = identity(device, 1.0, ctc(), &[]);
            let fit = Fit::new().shuffle(false).batch_size(size).accumulate(parts).quiet();
            let history = model.fit(&x, &targets(), fit).unwrap();
            let what = format!("{parts} batches of {size} on {device}");
            close(&what, &[history.epochs[0].training.loss], &[loss], 1e-5);
            close(&what, &model.params().get("dense.bias").unwrap(), &d_bias, 1e-4);
        }
        let weights = [0.5, 2.0, 1.5, 0.0, 1.0];
        let (loss, d_bias) = mean(weights);
        let mut model = identity(device, 1.0, ctc(), &[]);
        let fit = Fit::new().shuffle(false).sample_weights(&weights).quiet();
        let history = model.fit(&x, &targets(), fit).unwrap();
        close(&format!("weights on {device}"), &[history.epochs[0].training.loss], &[loss], 1e-5);
        let found = model.params().get("dense.bias").unwrap();
        close(&format!("weights on {device}"), &found, &d_bias, 1e-4);
    }
}

/// Rates of errors are those of the labels that are read greedily, weighted or not, at any number of timesteps.
#[test]
fn rates_are_those_of_labels_read_greedily() {
    let v = Vectors::load("ctc_losses");
    let x = Sequences::new(5, rows(&v.get("x"))).unwrap();
    let metrics = [Metric::ErrorRate, Metric::EditDistance];
    let compile = |mut model: Sequential| {
        model.compile(Sgd::new(0.0), Loss::Ctc(ctc()), &metrics);
        model
    };
    for device in devices() {
        // The pool ends a mask, and has no say on lengths then.
        let [half, masked] = [false, true].map(|masked| {
            let model = Sequential::new(device).seed(3);
            let model = if masked { model.add(Masking::new(-77.0)) } else { model };
            let mut model = compile(model.add(Pool1d::max(2)).add(Dense::new(5)));
            model.build(5).unwrap();
            model
        });
        let all = identity(device, 0.0, ctc(), &metrics);
        for (name, mut model) in [("all", all), ("half", half), ("masked", masked)] {
            let what = format!("{name} on {device}");
            let emissions = model.predict(&x).unwrap().emissions().unwrap();
            let said = ctc().greedy(&emissions).unwrap();
            let steps: Vec<_> = said.iter().map(|said| said.path.len()).collect();
            let halves = FRAMES.map(|frames| frames / 2);
            assert_eq!(steps, if name == "all" { FRAMES } else { halves }, "{what}");
            let mut rate = ErrorRate::new();
            said.iter().zip(LABELS).for_each(|(said, labels)| rate.add(&said.labels(), labels));
            let expected = [rate.rate() as f32, rate.mean_distance() as f32];
            assert!(rate.rate() > 0.3, "{what}: there is something to count");
            let alone = model.evaluate_batches(&x, &targets(), 1).unwrap().loss;
            for size in [1, 2, 5] {
                let found = model.evaluate_batches(&x, &targets(), size).unwrap();
                close(&what, &[found.loss], &[alone], 1e-5);
                assert_eq!(found.names, ["error_rate", "edit_distance"]);
                close(&what, &found.metrics, &expected, 1e-6);
            }
            // Of two sequences, one of which counts three times.
            let mut rate = ErrorRate::new();
            for row in [0, 4, 4, 4] {
                rate.add(&said[row].labels(), LABELS[row]);
            }
            let weights = [1.0, 0.0, 0.0, 0.0, 3.0];
            let fit = Fit::new().shuffle(false).batch_size(2).sample_weights(&weights).quiet();
            let found = &model.fit(&x, &targets(), fit).unwrap().epochs[0].training;
            close(&what, &found.metrics, &[rate.rate() as f32, rate.mean_distance() as f32], 1e-6);
            let best = ctc().beam_search(&emissions, &BeamSearch::new(20)).unwrap();
            assert_eq!(best.len(), 5);
        }
    }
}

/// Bumps upwards and downwards at any time, of sequences of different lengths.
fn bumps(count: usize) -> (Sequences, Vec<Vec<u32>>) {
    let mut state = 7u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (mut row, mut said) = (vec![0.0f32], Vec::new());
        for _ in 0..random(4) {
            let label = 1 + random(2);
            said.push(label);
            row.extend(vec![if label == 1 { 1.0 } else { -1.0 }; 1 + random(2) as usize]);
            row.extend(vec![0.0; 1 + random(3) as usize]);
        }
        rows.push(row);
        labels.push(said);
    }
    (Sequences::new(1, rows).unwrap(), labels)
}

#[test]
fn a_model_learns_labels_from_memory_and_from_samples_alike() {
    let (x, labels) = bumps(160);
    let y = Targets::sequences(&labels);
    for device in devices() {
        let model = |activation| {
            let head = Dense::new(3).activation(activation);
            let lstm = Lstm::new(12).return_sequences();
            let mut model = Sequential::new(device).seed(5).add(lstm).add(head);
            model.compile(Adam::new(0.03), Loss::Ctc(Ctc::new()), &[Metric::ErrorRate]);
            model
        };
        let fit = || Fit::new().epochs(10).batch_size(16).shuffle(false).quiet();
        let mut whole = model(Activation::Linear);
        let history = whole.fit(&x, &y, fit().validation_split(0.2)).unwrap();
        let last = history.epochs[9].validation.as_ref().unwrap();
        assert!(last.metrics[0] < 0.2, "{} on {device}", last.metrics[0]);

        let sample = |row: usize| -> Result<Sample> {
            Ok(Sample::new(x.get(row)).targets(Targets::sequences([&labels[row]])))
        };
        let stream = IterableDataset::new(1, |_| Ok((0..128).map(sample)));
        let mut streamed = model(Activation::Linear);
        streamed.fit_dataset(&stream, fit()).unwrap();
        for name in whole.params().names() {
            let [a, b] = [&whole, &streamed].map(|m| m.params().get(&name).unwrap());
            assert_eq!(a, b, "{name} on {device}");
        }
        // A softmax changes nothing but what `predict` gives.
        let mut soft = model(Activation::Softmax);
        soft.fit(&x, &y, fit().validation_split(0.2)).unwrap();
        let said = |model: &Sequential| {
            let found = Ctc::new().greedy(&model.predict(&x).unwrap().emissions().unwrap());
            found.unwrap().iter().map(|found| found.labels()).collect::<Vec<_>>()
        };
        assert_eq!(said(&soft), said(&whole));
        let right = said(&soft).iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert!(right > 120, "{right} of 160 on {device}");
    }
}

#[test]
fn what_does_not_fit_says_so() {
    let device = &Device::cpu().unwrap();
    let x = Sequences::new(2, [vec![0.1; 8], vec![0.2; 4]]).unwrap();
    let of = |layers: Sequential, loss: Loss| {
        let mut model = layers;
        model.compile(Sgd::new(0.1), loss, &[]);
        model
    };
    let frames = |head: Dense, loss| {
        of(Sequential::new(device).add(Lstm::new(3).return_sequences()).add(head), loss)
    };
    let plain = || frames(Dense::new(4), Loss::Ctc(Ctc::new()));
    let good = || Targets::sequences([vec![1, 2], vec![3]]);
    let loss = |expected: &'static str| move |error: &Error| matches!(error, Error::Loss { expected: found, .. } if *found == expected);
    let option = |name: &'static str| move |error: &Error| matches!(error, Error::Option { option, .. } if *option == name);
    type Says = Box<dyn Fn(&Error) -> bool>;
    let cases: [(Sequential, Targets, Says); 11] = [
        (plain(), Targets::classes([0; 6]), Box::new(loss("Targets::sequences"))),
        (
            plain(),
            Targets::sequences([[1]]),
            Box::new(|e| matches!(e, Error::Targets { expected: 2, found: 1, .. })),
        ),
        (
            plain(),
            Targets::sequences([[1], [4]]),
            Box::new(|e| matches!(e, Error::Label { row: 1, found: 4, .. })),
        ),
        (
            plain(),
            Targets::sequences([[-1], [2]]),
            Box::new(|e| matches!(e, Error::Label { row: 0, .. })),
        ),
        (plain(), Targets::sequences([[0], [2]]), Box::new(option("Ctc::blank"))),
        // Two frames: a label, and a blank that is to be between it and the next.
        (plain(), Targets::sequences([[1, 2], [3, 3]]), Box::new(option("Targets::sequences"))),
        (
            frames(Dense::new(4), Loss::Ctc(Ctc::new().blank(4))),
            good(),
            Box::new(option("Ctc::blank")),
        ),
        (
            frames(Dense::new(4), Loss::Ctc(Ctc::new().reduction(Reduction::Sum))),
            good(),
            Box::new(option("Ctc::reduction")),
        ),
        (
            frames(Dense::new(4), Loss::CrossEntropy),
            good(),
            Box::new(loss("Targets::classes or Targets::values")),
        ),
        (
            frames(Dense::new(4).activation(Activation::Sigmoid), Loss::Ctc(Ctc::new())),
            good(),
            Box::new(loss("a last layer with softmax, or without activation")),
        ),
        (
            of(Sequential::new(device).add(Lstm::new(4)), Loss::Ctc(Ctc::new())),
            good(),
            Box::new(loss("a model that gives a value at each timestep")),
        ),
    ];
    for (number, (mut model, y, says)) in cases.into_iter().enumerate() {
        let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
        assert!(says(&error), "{number}: {error}");
    }
    let weights = [1.0, 2.0];
    for (late, fit) in [
        (false, Fit::new()),
        (true, Fit::new()),
        (false, Fit::new().sample_weights(&weights)),
        (true, Fit::new().sample_weights(&weights)),
    ] {
        let model = Sequential::new(device);
        let model = if late { model.add(Dropout::new(0.1)) } else { model };
        let masked = model.add(Masking::new(0.2)).add(Dense::new(4));
        let mut masked = of(masked, Loss::Ctc(Ctc::new()));
        let error = masked.fit(&x, &good(), fit.quiet()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "Ctc", .. }), "{error}");
    }
    let mut model = plain();
    model.compile(Sgd::new(0.1), Loss::Ctc(Ctc::new()), &[Metric::Accuracy]);
    let error = model.fit(&x, &good(), Fit::new().quiet()).unwrap_err();
    assert!(matches!(error, Error::Loss { loss: "Metric::Accuracy", .. }), "{error}");
    // A sequence that is too short for its labels is left out where that is asked for.
    let mut model = frames(Dense::new(4), Loss::Ctc(Ctc::new().zero_infinity()));
    let short = Targets::sequences([[1, 2], [3, 3]]);
    let history = model.fit(&x, &short, Fit::new().quiet()).unwrap();
    assert!(history.epochs[0].training.loss.is_finite());
}
