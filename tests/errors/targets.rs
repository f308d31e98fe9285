//! What is said of targets, of where they are wrong, and of models and options that hardly train.

use super::sequences;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{BinaryCrossEntropy, CrossEntropy};
use wgpu_lstm::nn::{Activation, Dense, Embedding, Lstm, Params, Rnn};
use wgpu_lstm::train::{Adadelta, Adam, Fit, Lion, Loss, Metric, Optimizer, RmsProp, Sgd};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor};

fn cpu() -> Device {
    Device::cpu().unwrap()
}

fn compiled(mut model: Sequential, loss: Loss) -> Sequential {
    model.compile(Sgd::new(0.01), loss, &[]);
    model
}

/// A model with a head behind an LSTM, for each sequence or for each frame.
fn model(head: Dense, loss: Loss, frames: bool) -> Sequential {
    let lstm = if frames { Lstm::new(4).return_sequences() } else { Lstm::new(4) };
    compiled(Sequential::new(&cpu()).add(lstm).add(head), loss)
}

#[track_caller]
fn said(mut model: Sequential, y: Targets, expected: &str) {
    let error = model.fit(&sequences(), &y, Fit::new().quiet()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_model_without_layers_says_so() {
    let text = "a Sequential without layers is not ready: call add first";
    let (x, y) = (sequences(), Targets::values([1.0; 6], 1));
    let mut model = compiled(Sequential::new(&cpu()), Loss::MeanSquaredError);
    let tape = Tape::new(&Params::new(&cpu()));
    let input = tape.input(Tensor::zeros([1, 1, 2], &cpu()).unwrap());
    for error in [
        model.fit(&x, &y, Fit::new().quiet()).unwrap_err(),
        model.predict(&x).unwrap_err(),
        model.evaluate(&x, &y).unwrap_err(),
        model.build(2).unwrap_err(),
        model.forward(&tape, &input).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_target_too_few() {
    said(
        model(Dense::new(1), Loss::MeanSquaredError, false),
        Targets::values([1.0; 5], 1),
        "Sequential::fit: 5 numbers or classes as targets of 6 sequences, expected 6; a class, or a row of \
         numbers, for each sequence",
    );
    said(
        model(Dense::new(2), Loss::CrossEntropy, true),
        Targets::classes([0; 17]),
        "Sequential::fit: 17 numbers or classes as targets of 6 sequences, expected 18; a class, or a row of \
         numbers, for each frame of each sequence, since the model gives a value at each; for one of a sequence \
         drop the last return_sequences, or add a Pool",
    );
    let params = Params::new(&cpu());
    let _ = Dense::new(2).build(&params, 3).unwrap();
    let error = params.set("dense.weight", &[1.0; 5]).unwrap_err();
    let text = "the parameter \"dense.weight\": Params::set: 5 values were given for the shape [2, 3], which \
                holds 6";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_frame_is_named_by_its_sequence() {
    // Three frames each.
    let mut labels = vec![0; 18];
    labels[3 * 4 + 2] = 9;
    said(
        model(Dense::new(3), Loss::CrossEntropy, true),
        Targets::classes(labels),
        "frame 2 of sequence 4: labels[14] is 9, expected 0..=2 (3 classes)",
    );
    let mut values = vec![0.0; 36];
    values[2 * 7 + 1] = 1.5;
    said(
        model(Dense::new(2), Loss::BinaryCrossEntropy, true),
        Targets::values(values.clone(), 2),
        "frame 1 of sequence 2: targets[15] is 1.5, expected from 0 to 1 by BinaryCrossEntropy; for more classes \
         use CrossEntropy",
    );
    values[15] = f32::NAN;
    said(
        model(Dense::new(2), Loss::MeanSquaredError, true),
        Targets::values(values, 2),
        "a target is not finite in value 15 (frame 1 of sequence 2); replace what is missing before training",
    );
    let mut values = vec![0.0; 12];
    values[5] = -1.0;
    said(
        model(Dense::new(2), Loss::BinaryCrossEntropy, false),
        Targets::values(values, 2),
        "sequence 2: targets[5] is -1, expected from 0 to 1 by BinaryCrossEntropy; for more classes use \
         CrossEntropy",
    );
    let x = Sequences::from_tokens([vec![1, 2], vec![3, 9]]).unwrap();
    let embedded = Sequential::new(&cpu()).add(Embedding::new(5, 2)).add(Lstm::new(2));
    let mut model = compiled(embedded.add(Dense::new(1)), Loss::MeanSquaredError);
    let error = model.fit(&x, &Targets::values([0.0; 2], 1), Fit::new().quiet()).unwrap_err();
    let text = "place 1 of sequence 1 is 9, no token: expected a whole number below 5, the tokens that there are";
    assert_eq!(error.to_string(), text);
}

#[test]
fn validation_data_say_that_they_are() {
    let x = sequences();
    let refused = |head, loss, y: Targets, x_bad: &Sequences, bad: Targets| {
        let fit = Fit::new().validation_data(x_bad, &bad).quiet();
        model(head, loss, false).fit(&x, &y, fit).unwrap_err().to_string()
    };
    let numbers = || Targets::values([1.0; 6], 1);
    let classes = || Targets::classes([0, 1, 2, 0, 1, 2]);
    let (mse, bce, ce) =
        (|| Loss::MeanSquaredError, || Loss::BinaryCrossEntropy, || Loss::CrossEntropy);
    let empty = Sequences::new(2, Vec::<Vec<f32>>::new()).unwrap();
    let wide = Sequences::from_array(&[0.5; 6 * 3], [6, 1, 3]).unwrap();
    for (found, end) in [
        (
            refused(Dense::new(3), ce(), classes(), &x, Targets::classes([0, 1, 2, 0, 1, 3])),
            "labels[5] is 3, expected 0..=2 (3 classes); labels begin with 0: if these go from 1 to 3, take 1 off \
             each, else give the last layer an output for each class",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &x, Targets::values([1.0; 5], 1)),
            "5 numbers or classes as targets of 6 sequences, expected 6; a class, or a row of numbers, for \
             each sequence",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &x, classes()),
            "Loss::MeanSquaredError needs Targets::values, found Targets::classes; for classes take CrossEntropy",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &x, Targets::values([1.0; 12], 2)),
            "Targets::width is 2, expected 1, the outputs of the last layer",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &x, Targets::values([f32::NAN; 6], 1)),
            "a target is not finite in value 0 (sequence 0); replace what is missing before training",
        ),
        (
            refused(Dense::new(1), bce(), numbers(), &x, Targets::values([2.0; 6], 1)),
            "targets[0] is 2, expected from 0 to 1 by BinaryCrossEntropy; for more classes use CrossEntropy",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &wide, numbers()),
            "3 features a frame, expected 2; the model was made for frames of so many: give it the columns that \
             it learned from, in their order",
        ),
        (
            refused(Dense::new(1), mse(), numbers(), &empty, numbers()),
            "`x` is [0, 0, 2]: [N,T,F] must all be at least 1",
        ),
    ] {
        assert_eq!(found, format!("Fit::validation_data: {end}"));
    }
    let x = Sequences::from_tokens([[1], [2]]).unwrap();
    let bad = Sequences::from_tokens([[1], [7]]).unwrap();
    let y = Targets::values([0.0; 2], 1);
    let embedded = Sequential::new(&cpu()).add(Embedding::new(5, 2)).add(Lstm::new(2));
    let mut model = compiled(embedded.add(Dense::new(1)), Loss::MeanSquaredError);
    let error = model.fit(&x, &y, Fit::new().validation_data(&bad, &y).quiet()).unwrap_err();
    let Error::At { place, error } = &error else { panic!("{error}") };
    assert_eq!(place, "Fit::validation_data");
    assert!(matches!(**error, Error::Token { sequence: 1, place: 0, .. }), "{error}");
}

#[test]
fn a_model_that_ends_with_an_lstm() {
    let ends = |loss| compiled(Sequential::new(&cpu()).add(Lstm::new(16)), loss);
    said(
        ends(Loss::MeanSquaredError),
        Targets::values([0.5; 6], 1),
        "Targets::width is 1, expected 16, the outputs of the last layer (lstm); or add a Dense of 1 after it",
    );
    said(
        ends(Loss::CrossEntropy),
        Targets::probabilities([1.0, 0.0].repeat(6), 2),
        "Targets::width is 2, expected 16, the outputs of the last layer (lstm); or add a Dense of 2 after it",
    );
    // Labels below its units are taken, with a warning.
    let y = Targets::classes([0, 1, 2, 0, 1, 2]);
    let history = ends(Loss::CrossEntropy).fit(&sequences(), &y, Fit::new().quiet()).unwrap();
    let text = "the last layer is an lstm of 16 units, between -1 and 1: too little for logits; add a Dense with an \
                output for each class after it";
    assert!(history.warnings.iter().any(|warning| warning == text), "{:?}", history.warnings);
    let mut rnn = compiled(Sequential::new(&cpu()).add(Rnn::new(1)), Loss::BinaryCrossEntropy);
    let y = Targets::values([1.0; 6], 1);
    let history = rnn.fit(&sequences(), &y, Fit::new().quiet()).unwrap();
    assert!(history.warnings.iter().any(|w| w.contains("an rnn of 1 units")), "{history:?}");
}

#[test]
fn probabilities_are_checked() {
    let soft =
        |values: [f32; 2]| Targets::probabilities([values, [0.5, 0.5]].concat().repeat(3), 2);
    let text = "sequence 0: Loss::CrossEntropy needs Targets::classes, or probabilities from 0 to 1 that add up \
                to 1, found";
    for (bad, found) in [
        ([0.5, 0.25], "[0.5, 0.25]"),
        ([1.5, -0.5], "[1.5, -0.5]"),
        ([f32::NAN, 1.0], "[NaN, 1.0]"),
        ([3.0, 4.0], "[3.0, 4.0]"),
    ] {
        let model = model(Dense::new(2), Loss::CrossEntropy, false);
        said(model, soft(bad), &format!("{text} {found}"));
    }
    // As 16-bit floats have them.
    let rounded = soft([0.333, 0.666]);
    model(Dense::new(2), Loss::CrossEntropy, false)
        .fit(&sequences(), &rounded, Fit::new().quiet())
        .unwrap();
    let with = |options| model(Dense::new(2), Loss::CrossEntropyWith(options), false);
    said(
        with(CrossEntropy::new().ignore_index(0)),
        soft([1.0, 0.0]),
        "CrossEntropy::ignore_index does not go with rows of probabilities; give rows that do not count the \
         weight 0",
    );
    said(
        with(CrossEntropy::new().class_weights([1.0; 3])),
        soft([1.0, 0.0]),
        "CrossEntropy::class_weights is 3 weights, expected 2, one for each class",
    );
    let weighted = BinaryCrossEntropy::new().pos_weight([1.0, 2.0]);
    said(
        model(Dense::new(3), Loss::BinaryCrossEntropyWith(weighted), false),
        Targets::values([1.0; 18], 3),
        "BinaryCrossEntropy::pos_weight is 2 weights, expected 1, or 3, one for each output",
    );
    said(
        model(Dense::new(3), Loss::Quantiles(vec![0.9, 0.1]), false),
        Targets::values([1.0; 6], 1),
        "Loss::Quantiles is [0.9, 0.1], expected one or more between 0 and 1, each above the one before it",
    );
    said(
        model(Dense::new(6), Loss::Quantiles(vec![0.1, 0.5, 0.9]), false),
        Targets::values([1.0; 6], 1),
        "Targets::width is 1, expected 2: of 3 quantiles each the last layer has 6 outputs",
    );
}

/// The warnings of a training for one epoch.
fn warnings(model: Sequential, y: &Targets, x: &Sequences) -> Vec<String> {
    let fit = Fit::new().quiet();
    compiled(model, Loss::MeanSquaredError).fit(x, y, fit).unwrap().warnings
}

#[test]
fn a_softmax_of_one_unit() {
    said(
        model(Dense::new(1).activation(Activation::Softmax), Loss::MeanSquaredError, false),
        Targets::values([0.5; 6], 1),
        "Dense::units is 1 with Activation::Softmax, expected at least 2: a softmax of one unit is 1 always; \
         Activation::Sigmoid tells two classes apart",
    );
}

#[test]
fn numbers_that_look_like_tokens_are_told() {
    let y = Targets::values([0.5; 2], 1);
    let nothing = Vec::<String>::new();
    let of = |x: &Sequences| {
        warnings(Sequential::new(&cpu()).add(Lstm::new(2)).add(Dense::new(1)), &y, x)
    };
    let tokens = Sequences::from_tokens([[1, 7, 3, 9, 4, 2], [12, 5, 8, 6, 0, 2]]).unwrap();
    let text = "the inputs are whole numbers, one in each frame; if these are tokens, or numbers of classes, begin \
                with an Embedding, since their order says nothing";
    assert_eq!(of(&tokens), [text]);
    let embedded = Sequential::new(&cpu()).add(Embedding::new(20, 2)).add(Lstm::new(2));
    assert_eq!(warnings(embedded.add(Dense::new(1)), &y, &tokens), nothing);
    // Few of them may be a switch; what is not whole, or below 0, is none.
    for others in [
        vec![[0.0, 1.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 3.0, 4.0, 0.0]],
        vec![[0.5, 1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]],
        vec![[-1.0, 1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]],
    ] {
        assert_eq!(of(&Sequences::new(1, others).unwrap()), nothing);
    }
    // Far from 1 there is one warning, which speaks of tokens, too.
    let far = [[1e6, 2e6, 3e6, 4e6, 5e6, 6e6], [7e6, 8e6, 9e6, 0.0, 1.0, 2.0]];
    let [warning] = &of(&Sequences::new(1, far).unwrap())[..] else { panic!() };
    assert!(warning.starts_with("column 0 of the inputs goes from 0 to 9000000"), "{warning}");
    assert!(warning.ends_with("if these are tokens, begin with an Embedding"), "{warning}");
}

#[test]
fn trainings_that_change_nothing_or_too_much_are_told() {
    let x =
        Sequences::from_array(&(0..12).map(|i| (i as f32).sin()).collect::<Vec<_>>(), [6, 1, 2])
            .unwrap();
    let y = Targets::values([0.5, 0.25, 0.0, 1.0, 0.5, 0.0], 1);
    fn told(
        optimizer: impl Optimizer + 'static,
        fit: Fit<'_>,
        x: &Sequences,
        y: &Targets,
    ) -> String {
        let mut model = Sequential::new(&cpu()).add(Lstm::new(2)).add(Dense::new(1));
        model.compile(optimizer, Loss::MeanSquaredError, &[Metric::MeanAbsoluteError]);
        model.fit(x, y, fit.quiet()).unwrap().warnings.join("; ")
    }
    let told = |optimizer: Box<dyn Optimizer>, fit| told(Own(optimizer), fit, &x, &y);
    assert_eq!(told(Box::new(Adam::new(1.0)), Fit::new()), "");
    assert_eq!(
        told(Box::new(Adam::new(3.0)), Fit::new()),
        "the optimizer's learning rate is 3, above 1: each step moves every parameter by about as much, far beyond \
         what it is; 0.001 is usual, and Sequential::find_rate finds one"
    );
    for optimizer in [Box::new(Lion::new(2.0)) as Box<dyn Optimizer>, Box::new(RmsProp::new(2.0))] {
        assert!(told(optimizer, Fit::new()).contains("learning rate is 2, above 1"));
    }
    // Whose steps are as long as the gradients; and whose usual rate is 1.
    for optimizer in [Box::new(Sgd::new(1.5)) as Box<dyn Optimizer>, Box::new(Adadelta::new(1.5))] {
        assert_eq!(told(optimizer, Fit::new()), "");
    }
    assert_eq!(
        told(Box::new(Adam::new(0.0)), Fit::new()),
        "the optimizer's learning rate is 0: its steps change nothing"
    );
    assert_eq!(
        told(Box::new(Adam::new(1e-3)), Fit::new().epochs(0)),
        "Fit::epochs is 0: no step is made"
    );
}

/// An optimizer in a box.
struct Own(Box<dyn Optimizer>);

impl Optimizer for Own {
    fn step(&mut self, params: &Params) -> wgpu_lstm::Result<()> {
        self.0.step(params)
    }
    fn learning_rate(&self) -> Option<f32> {
        self.0.learning_rate()
    }
    fn highest_rate(&self) -> Option<f32> {
        self.0.highest_rate()
    }
}
