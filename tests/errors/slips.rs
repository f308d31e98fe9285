//! What people slip on: each with the text that they are to read.

use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Embedding, Group, Lstm};
use wgpu_lstm::train::{EarlyStopping, Fit, History, Loss, Sgd};
use wgpu_lstm::{Device, Result, Sequential};

fn fit(head: Dense, loss: Loss, x: &Sequences, y: &Targets) -> Result<History> {
    let mut model = Sequential::new(&Device::cpu()?).add(Lstm::new(2)).add(head);
    model.compile(Sgd::new(0.01), loss, &[]);
    model.fit(x, y, Fit::new().quiet())
}

/// Four sequences of two frames with as many features.
fn small(features: usize) -> Sequences {
    let values: Vec<_> = (0..8 * features).map(|i| (i as f32 * 0.7).sin()).collect();
    Sequences::from_array(&values, [4, 2, features]).unwrap()
}

fn text(head: Dense, loss: Loss, y: Targets) -> String {
    fit(head, loss, &small(2), &y).unwrap_err().to_string()
}

#[test]
fn losses_say_which_targets_and_activations_they_take() {
    let softmax = |n: usize| Dense::new(n).activation(Activation::Softmax);
    let sigmoid = |n: usize| Dense::new(n).activation(Activation::Sigmoid);
    let classes = || Targets::classes([0, 1, 2, 1]);
    let one_hot = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
    let one_hot = || Targets::values(one_hot.concat(), 3);
    for (found, expected) in [
        (
            text(softmax(3), Loss::CrossEntropy, Targets::classes([1, 2, 3, 1])),
            "labels[2] is 3, expected 0..=2 (3 classes); labels begin with 0: if these go from 1 to 3, take \
             1 off each, else give the last layer an output for each class",
        ),
        (
            text(softmax(3), Loss::CrossEntropy, Targets::values([0.0, 1.0, 2.0, 1.0], 1)),
            "Loss::CrossEntropy needs Targets::classes or Targets::probabilities, found Targets::values that are \
             whole numbers; if they are classes, give them as such",
        ),
        (
            text(softmax(3), Loss::CrossEntropy, Targets::values([0.5, 1.0, 2.0, 1.0], 1)),
            "Loss::CrossEntropy needs Targets::classes or Targets::probabilities, found Targets::values; for \
             numbers take MeanSquaredError, or another loss between numbers",
        ),
        (
            text(sigmoid(1), Loss::BinaryCrossEntropy, Targets::classes([0, 1, 0, 1])),
            "Loss::BinaryCrossEntropy needs Targets::values, found Targets::classes; give 0.0 and 1.0 as \
             values, or take CrossEntropy with an output for each class",
        ),
        (
            text(Dense::new(1), Loss::MeanSquaredError, Targets::classes([0, 1, 0, 1])),
            "Loss::MeanSquaredError needs Targets::values, found Targets::classes; for classes take \
             CrossEntropy",
        ),
        (
            text(sigmoid(3), Loss::CrossEntropy, classes()),
            "Loss::CrossEntropy needs a last layer with softmax, or without activation, found Sigmoid; where \
             several classes may hold at once, take BinaryCrossEntropy",
        ),
        (
            text(softmax(3), Loss::BinaryCrossEntropy, one_hot()),
            "Loss::BinaryCrossEntropy needs a last layer with sigmoid, or without activation, found Softmax; \
             where one of several classes holds, take CrossEntropy",
        ),
        (
            text(Dense::new(1), Loss::CrossEntropy, Targets::classes([0, 1, 0, 1])),
            "Loss::CrossEntropy needs an output for each class, at least 2, found 1 output of the last \
             layer; to tell two classes apart by one, take BinaryCrossEntropy with 0.0 and 1.0 as \
             Targets::values",
        ),
    ] {
        assert_eq!(found, expected);
    }
    // As the last two say.
    fit(sigmoid(3), Loss::BinaryCrossEntropy, &small(2), &one_hot()).unwrap();
    fit(softmax(3), Loss::CrossEntropy, &small(2), &classes()).unwrap();
    fit(softmax(3), Loss::CrossEntropy, &small(2), &one_hot()).unwrap();
}

#[test]
fn other_columns_than_those_of_fit_are_refused() {
    let y = Targets::values([0.0, 1.0, 0.0, 1.0], 1);
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
    model.fit(&small(3), &y, Fit::new().quiet()).unwrap();
    let end = ": 2 features a frame, expected 3; the model was made for frames of so many: give it the \
               columns that it learned from, in their order";
    let x = small(2);
    assert_eq!(model.predict(&x).unwrap_err().to_string(), format!("Sequential::predict{end}"));
    assert_eq!(
        model.evaluate(&x, &y).unwrap_err().to_string(),
        format!("Sequential::evaluate{end}")
    );
    let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
    assert_eq!(error.to_string(), format!("Sequential::fit{end}"));
}

#[test]
fn data_that_are_not_scaled_are_told() {
    let warnings =
        |x: &Sequences, y: &Targets, loss| fit(Dense::new(1), loss, x, y).unwrap().warnings;
    let of = |columns: [[f32; 4]; 3]| {
        let values: Vec<_> = (0..4).flat_map(|t| columns.map(|column| column[t])).collect();
        Sequences::from_array(&values, [4, 1, 3]).unwrap()
    };
    let fine = [0.1, -0.4, 0.3, 1.5];
    let y = Targets::values(fine, 1);
    let far = [1e3, 1.1e3, 1.2e3, 1.3e3];
    // Its mean is 0.
    let wide = [-200.0, 200.0, 200.0, -200.0];
    let unscaled = Targets::values(far, 1);
    let advice = "far beyond the size of about 1 that a model learns well from; subtract the mean of the \
                  training data and divide by their standard deviation";
    let mse = || Loss::Huber { delta: 1.0 };

    assert_eq!(warnings(&of([fine; 3]), &y, mse()), Vec::<String>::new());
    assert_eq!(
        warnings(&of([fine, far, wide]), &y, mse()),
        [format!(
            "column 1 of the inputs (and of 1 more) goes from 1000 to 1300 with a mean of 1150, {advice}"
        )]
    );
    assert_eq!(
        warnings(&of([fine, wide, fine]), &y, mse()),
        [format!("column 1 of the inputs goes from -200 to 200 with a mean of 0, {advice}")]
    );
    assert_eq!(
        warnings(&of([fine, fine, [0.25; 4]]), &y, mse()),
        [
            "column 2 of the inputs is 0.25 in every frame and tells nothing; leave it out, or look whether it \
          was read as it should be"
        ]
    );
    assert_eq!(
        warnings(&of([fine; 3]), &unscaled, mse()),
        [format!(
            "column 0 of the targets goes from 1000 to 1300 with a mean of 1150, {advice}, and turn \
             predictions back by them"
        )]
    );
    // Targets of a cross-entropy are what they are.
    let bits = Targets::values([1.0; 4], 1);
    assert_eq!(warnings(&of([fine; 3]), &bits, Loss::BinaryCrossEntropy), Vec::<String>::new());
}

/// Tokens have no size; who forgets the embedding is told of it.
#[test]
fn tokens_are_not_told_to_be_scaled() {
    let device = &Device::cpu().unwrap();
    let x = Sequences::from_tokens([[999, 5], [999, 7]]).unwrap();
    let y = Targets::values([0.0, 1.0], 1);
    let warnings = |mut model: Sequential| {
        model.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
        model.fit(&x, &y, Fit::new().quiet()).unwrap().warnings
    };
    let model = || Sequential::new(device);
    let embedded = model().add(Embedding::new(1000, 2)).add(Lstm::new(2)).add(Dense::new(1));
    assert_eq!(warnings(embedded), Vec::<String>::new());
    let [warning] = &warnings(model().add(Lstm::new(2)).add(Dense::new(1)))[..] else { panic!() };
    assert!(warning.starts_with("column 0 of the inputs goes from 5 to 999"), "{warning}");
    assert!(warning.ends_with("; or, if these are tokens, begin with an Embedding"), "{warning}");
}

#[test]
fn options_that_hardly_train_are_told() {
    let model = || {
        let mut model =
            Sequential::new(&Device::cpu().unwrap()).add(Lstm::new(2)).add(Dense::new(1));
        model.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
        model
    };
    let (x, y) = (small(2), Targets::values([0.5, 0.25, 0.0, 1.0], 1));
    let warnings = |model: &mut Sequential, fit: Fit<'_>| {
        model.fit(&x, &y, fit.quiet()).unwrap().warnings.join("; ")
    };
    assert_eq!(warnings(&mut model(), Fit::new()), "");

    let mut typo = model();
    typo.params().group(|name| name.contains("bais"), Group::new().weight_decay(0.0)).unwrap();
    assert!(warnings(&mut typo, Fit::new()).contains("group 1 of Params::group, has no parameter"));
    let mut frozen = model();
    frozen.params().group(|_| true, Group::new().frozen()).unwrap();
    assert!(warnings(&mut frozen, Fit::new()).contains("nothing is trained"));
    assert!(frozen.summary().ends_with("of them frozen"), "{}", frozen.summary());

    let mut twice = model();
    let schedule = || Fit::new().schedule(|step: u64| 1.0 - step.min(1) as f32);
    assert_eq!(warnings(&mut twice, schedule()), "");
    assert!(warnings(&mut twice, schedule()).contains("after the 1 steps since compile"));

    let stateful = Lstm::new(2).stateful();
    let mut shuffled = Sequential::new(&Device::cpu().unwrap()).add(stateful).add(Dense::new(1));
    shuffled.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
    assert!(warnings(&mut shuffled, Fit::new()).contains("a layer is stateful"));
    shuffled.reset_state();
    assert_eq!(warnings(&mut shuffled, Fit::new().shuffle(false)), "");
}

#[test]
fn a_monitor_without_validation_data_is_told_before_the_first_epoch() {
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
    let y = Targets::values([0.5, 0.25, 0.0, 1.0], 1);
    let mut steps = 0;
    let fit = Fit::new().quiet().callback(EarlyStopping::new("val_loss")).on_epoch(|_| {
        steps += 1;
        Ok(())
    });
    let error = model.fit(&small(2), &y, fit).unwrap_err().to_string();
    assert!(error.contains("since there are no validation data"), "{error}");
    assert_eq!(steps, 0);
}

#[test]
fn callbacks_after_one_see_what_it_logs() {
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Sgd::new(0.01), Loss::MeanSquaredError, &[]);
    let y = Targets::values([0.5, 0.25, 0.0, 1.0], 1);
    let mut seen = Vec::new();
    let fit = Fit::new().quiet().epochs(2).validation_split(0.5);
    let fit = fit
        .on_epoch(|run| {
            run.log("mine", 2.0);
            run.log("val_mine", run.epoch() as f32);
            Ok(())
        })
        .on_epoch(|run| {
            let epoch = run.history().epochs.last().unwrap();
            seen.push((epoch.value("mine"), epoch.value("val_mine")));
            Ok(())
        });
    let history = model.fit(&small(2), &y, fit).unwrap();
    assert_eq!(seen, [(Some(2.0), Some(0.0)), (Some(2.0), Some(1.0))]);
    assert_eq!(history.epochs[1].value("val_mine"), Some(1.0));
    assert_eq!(history.epochs[0].learning_rate, Some(0.01));
}
