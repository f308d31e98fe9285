//! Losses over so many classes that the logits are made for some rows at a time.

mod common;

use common::{close, devices, tensor, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{CrossEntropy, Labels, RowWeights, cross_entropy};
use wgpu_lstm::nn::{Activation, Dense, Embedding, Layer, Lstm, Params, Regularizer, Seq2Seq};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, Lengths, Result, Sequential, Tape, Tensor, Var};

const CLASSES: usize = 30_001;

/// Rows of more than one part.
fn rows(device: &Device) -> usize {
    if device.adapter().is_some() { 600 } else { 150 }
}

fn waves(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.731).sin()).collect()
}

/// Loss, gradient of the input and of the parameters.
fn computed(params: &Params, x: &Tensor, of: impl Fn(&Tape, &Var) -> Result<Var>) -> Vec<Vec<f32>> {
    params.zero_gradients().unwrap();
    let tape = Tape::new(params);
    let x = tape.input(x.clone());
    let loss = of(&tape, &x).unwrap();
    let mut all = vec![value(&loss)];
    let half = Tensor::from_slice(&[0.5], [1], &params.device()).unwrap();
    let gradients = tape.backward_from(&[(&loss, half)]).unwrap();
    all.push(gradients.get(&x).unwrap().to_vec().unwrap());
    all.extend(["dense.weight", "dense.bias"].map(|name| params.gradient(name).unwrap()));
    all
}

fn same(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    for (part, (found, expected)) in found.iter().zip(expected).enumerate() {
        close(&format!("{what}, part {part}"), found, expected, 1e-5);
    }
}

#[test]
fn it_is_the_loss_of_the_logits() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let head = Dense::new(CLASSES).activation(Activation::Softmax).build(&params, 5).unwrap();
        let logits = |tape: &Tape, x: &Var| head.forward_logits(tape, x).map(|(logits, _)| logits);
        let n = rows(device);
        let x = tensor(&waves(n * 5), [3, n / 3, 5], device);
        let labels: Vec<u32> = (0..n).map(|i| (i * 7919 % CLASSES) as u32).collect();
        let labels = Labels::new(&labels, device).unwrap();
        let classes: Vec<f32> = (0..CLASSES).map(|j| 0.5 + (j % 3) as f32).collect();
        let weights: Vec<f32> = (0..n).map(|i| (i % 4) as f32).collect();
        let weights = RowWeights::new(&weights, device).unwrap();
        let all =
            CrossEntropy::new().ignore_index(7919).label_smoothing(0.2).class_weights(classes);
        for (what, kind, weights) in
            [("plain", CrossEntropy::new(), None), ("with options", all, Some(&weights))]
        {
            let parts = computed(&params, &x, |tape, x| {
                head.cross_entropy(tape, x, &kind, &labels, weights)
            });
            let whole = computed(&params, &x, |tape, x| {
                kind.loss(tape, &logits(tape, x)?, &labels, weights)
            });
            same(&format!("{what}, {device}"), &parts, &whole);
        }
        // Past the end of a row whatever stands there.
        let lengths = [n / 3, 1, n / 6];
        let lengths = Lengths::new(&lengths, device).unwrap();
        let weights = RowWeights::from_lengths(&lengths, n / 3).unwrap();
        let mut padded = waves(n * 5);
        padded[(n / 3 + 1) * 5..n / 3 * 10].fill(f32::NAN);
        let x = tensor(&padded, [3, n / 3, 5], device);
        let kind = CrossEntropy::new();
        let parts = computed(&params, &x, |tape, x| {
            let x = x.clone().with_lengths(Some(lengths.clone()));
            head.cross_entropy(tape, &x, &kind, &labels, Some(&weights))
        });
        let whole = computed(&params, &x, |tape, x| {
            let x = x.clone().with_lengths(Some(lengths.clone()));
            kind.loss(tape, &logits(tape, &x)?, &labels, Some(&weights))
        });
        same(&format!("with lengths, {device}"), &parts, &whole);
    }
}

#[test]
fn few_logits_are_those_of_forward_bit_for_bit() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let head =
            Dense::new(7).activity_regularizer(Regularizer::l2(0.1)).build(&params, 5).unwrap();
        let x = tensor(&waves(9 * 5), [9, 5], device);
        let labels = Labels::new(&[0, 1, 2, 3, 4, 5, 6, 0, 1], device).unwrap();
        let kind = CrossEntropy::new();
        let found =
            computed(&params, &x, |tape, x| head.cross_entropy(tape, x, &kind, &labels, None));
        let expected = computed(&params, &x, |tape, x| {
            cross_entropy(tape, &head.forward(tape, x)?, &labels, None)
        });
        assert_eq!(found, expected, "{device}");
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let head = Dense::new(CLASSES).build(&params, 5).unwrap();
        let tanh = Dense::new(3).activation(Activation::Tanh).build(&params, 5).unwrap();
        let n = rows(device);
        let x = Var::from(tensor(&waves(n * 5), [n, 5], device));
        let narrow = Var::from(tensor(&waves(n * 4), [n, 4], device));
        let (good, kind) = (vec![0; n], CrossEntropy::new());
        let mut bad = good.clone();
        bad[n - 1] = CLASSES as u32;
        let run = |head: &Dense, x: &Var, labels: &[u32]| {
            let labels = Labels::new(labels, device).unwrap();
            head.cross_entropy(&Tape::new(&params), x, &kind, &labels, None).unwrap_err()
        };
        assert!(matches!(run(&tanh, &x, &good), Error::Unsupported { .. }));
        assert!(matches!(run(&head, &x, &bad), Error::Label { row, .. } if row == n - 1));
        assert!(matches!(run(&head, &x, &good[1..]), Error::Shape { arg: "labels", .. }));
        let whole = head.forward(&Tape::new(&params), &narrow).unwrap_err();
        assert_eq!(run(&head, &narrow, &good), whole);
        assert!(matches!(run(&Dense::new(CLASSES), &x, &good), Error::NotBuilt { .. }));
    }
}

/// Of the logits there are those of a part and their gradients, whatever the number of rows.
#[test]
fn the_logits_are_never_whole() {
    let device = poisoned_cpu();
    let (n, features) = (1000, 32);
    let params = Params::seeded(&device, 3);
    let head = Dense::new(CLASSES).build(&params, features).unwrap();
    let x = tensor(&waves(n * features), [n, features], &device);
    let labels = Labels::new(&vec![3; n], &device).unwrap();
    for _ in 0..2 {
        computed(&params, &x, |tape, x| {
            head.cross_entropy(tape, x, &CrossEntropy::new(), &labels, None)
        });
    }
    let parameters = (features + 1) * CLASSES;
    let part = 128 * CLASSES;
    let words = 2 * parameters + 2 * part + 2 * n * features + 16 * n;
    // Buffers come in classes of size, of which up to a ninth is waste.
    let (peak, most) = (device.memory().peak as f64, 4.0 * words as f64 * 9.0 / 8.0);
    assert!(peak < most, "{peak} bytes for {most}");
    assert!(peak < 4.0 * (n * CLASSES) as f64, "{peak} bytes");
}

/// A layer of which a model knows nothing but what it has to say: its logits are made whole.
struct Unknown(Dense);

impl Layer for Unknown {
    fn kind(&self) -> &'static str {
        "unknown"
    }
    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.0.build_on(params, input_size)
    }
    fn output_size(&self) -> usize {
        self.0.output_size()
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        self.0.forward(tape, x)
    }
    fn parameter_count(&self) -> usize {
        self.0.parameter_count()
    }
}

#[test]
fn models_train_and_are_measured_as_with_whole_logits() {
    for device in devices() {
        // Of up to six tokens: the whole logits still fit a binding.
        let count = if device.adapter().is_some() { 100 } else { 50 };
        let tokens: Vec<Vec<u32>> = (0..count)
            .map(|i| (0..3 + i % 4).map(|t| ((i * 31 + t * 17) % 50) as u32).collect())
            .collect();
        let next: Vec<u32> =
            tokens.iter().flat_map(|row| row.iter().map(|t| (t * 601) % CLASSES as u32)).collect();
        let x = Sequences::from_tokens(&tokens).unwrap();
        let y = Targets::classes(next);
        let run = |last: Box<dyn Fn(Sequential) -> Sequential>, metrics: &[Metric]| {
            let device = match device.adapter() {
                Some(_) => device.clone(),
                None => poisoned_cpu(),
            };
            let model = Sequential::new(&device).add(Embedding::new(50, 4));
            let mut model = last(model.add(Lstm::new(6).return_sequences()));
            model.compile(Sgd::new(0.5), Loss::CrossEntropy, metrics);
            let options = Fit::new().epochs(2).batch_size(count).quiet();
            let history = model.fit(&x, &y, options).unwrap();
            let mut found: Vec<f32> = Vec::new();
            for epoch in &history.epochs {
                found.push(epoch.training.loss);
                found.extend(&epoch.training.metrics);
            }
            let after = model.evaluate_batches(&x, &y, count).unwrap();
            found.push(after.loss);
            found.extend(&after.metrics);
            (found, device.memory().peak)
        };
        let sums = [Metric::Accuracy, Metric::TopK(500), Metric::LogLoss, Metric::Perplexity];
        let (parts, peak) = run(Box::new(|model| model.add(Dense::new(CLASSES))), &sums);
        let (whole, all) = run(Box::new(|model| model.add(Unknown(Dense::new(CLASSES)))), &sums);
        for (found, expected) in parts.iter().zip(&whole) {
            close(&format!("{device}"), &[*found], &[*expected], 1e-5);
        }
        if device.adapter().is_none() {
            assert!(peak < all / 5 * 3, "{peak} bytes, {all} with whole logits");
        }
        // A metric that takes all outputs.
        let edits = [Metric::Accuracy, Metric::ErrorRate];
        let (kept, _) = run(Box::new(|model| model.add(Dense::new(CLASSES))), &edits);
        let (expected, _) = run(Box::new(|model| model.add(Unknown(Dense::new(CLASSES)))), &edits);
        assert_eq!(kept, expected, "{device}");
    }
}

#[test]
fn a_decoders_loss_is_that_of_its_logits() {
    let device = poisoned_cpu();
    let params = Params::seeded(&device, 8);
    let model = Seq2Seq::new(6, 40_000).embedding_size(4).hidden_size(8).build(&params).unwrap();
    let source: Vec<Vec<u32>> = (0..40).map(|i| vec![i % 6; 1 + i as usize % 3]).collect();
    let target: Vec<Vec<u32>> = (0..40).map(|i| vec![i * 997; 1 + i as usize % 4]).collect();
    let gradients = |of: &dyn Fn(&Tape) -> Var| {
        params.zero_gradients().unwrap();
        let tape = Tape::new(&params);
        let loss = of(&tape);
        let mut all = vec![value(&loss)];
        tape.backward(&loss).unwrap();
        all.extend(params.names().iter().map(|name| params.gradient(name).unwrap()));
        all
    };
    let parts = gradients(&|tape| model.loss(tape, &source, &target).unwrap());
    let whole = gradients(&|tape| {
        let logits = model.forward(tape, &source, &target).unwrap();
        let steps = logits.shape()[1];
        let mut labels = Vec::new();
        for (row, tokens) in target.iter().enumerate() {
            labels.extend(tokens);
            labels.resize((row + 1) * steps, 40_000);
        }
        let labels = Labels::new(&labels, &device).unwrap();
        let weights = RowWeights::from_lengths(logits.lengths().unwrap(), steps).unwrap();
        cross_entropy(tape, &logits, &labels, Some(&weights)).unwrap()
    });
    assert_eq!(parts.len(), params.names().len() + 1);
    same("seq2seq", &parts, &whole);
}
