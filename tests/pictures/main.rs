//! Pictures: what is drawn is read back from the SVG, by the numbers on its own axes.
//!
//! With `WGPU_LSTM_TEST_PICTURES=FOLDER` each picture is left there as SVG and PNG, to be looked at.

#[path = "../common/mod.rs"]
mod common;

mod cells;
mod models;
mod svg;

use common::Folder;
use svg::{Svg, assert_line, assert_logarithms, attribute, counted};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Adam, Callback, FindRate, Fit, History, Loss, Metric, Run, Schedule, Sgd};
use wgpu_lstm::{Error, Result, Sequential};

/// Numbers between -1 and 1, the same everywhere.
fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

/// A history with these losses, of a training that hardly trains.
fn history(training: &[f32], validation: Option<&[f32]>) -> History {
    let x = Sequences::from_array(&numbers(8 * 3, 0.0), [8, 3, 1]).unwrap();
    let y = Targets::values(numbers(8, 1.0), 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Lstm::new(1)).add(Dense::new(1));
    model.compile(Sgd::new(1e-3), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError]);
    let mut fit = Fit::new().epochs(training.len()).quiet();
    if validation.is_some() {
        fit = fit.validation_split(0.25);
    }
    let mut history = model.fit(&x, &y, fit).unwrap();
    for (number, epoch) in history.epochs.iter_mut().enumerate() {
        epoch.training.loss = training[number];
        if let (Some(own), Some(losses)) = (&mut epoch.validation, validation) {
            own.loss = losses[number];
        }
    }
    history
}

#[test]
fn a_history_has_a_panel_for_each_number() {
    let epochs = 30;
    let training: Vec<f32> = (0..epochs).map(|e| 2.0 * (-0.25 * e as f32).exp() + 1e-3).collect();
    let validation: Vec<f32> =
        (0..epochs).map(|e| 0.5 * (e as f32 - 17.0).abs() / 17.0 + 0.02).collect();
    let mut history = history(&training, Some(&validation));
    let accuracy: Vec<f32> = (0..epochs).map(|e| 0.5 + 0.4 * e as f32 / epochs as f32).collect();
    for (epoch, accuracy) in history.epochs.iter_mut().zip(&accuracy) {
        epoch.training.metrics[0] = *accuracy;
    }
    let svg = Svg::of("history", &history.plot().title("a training"), [900, 500]);
    // The rate stays as it is.
    assert_eq!(svg.panels(), ["loss", "mae"]);
    let loss = svg.panel("loss");
    let line = loss.line("training", [false, true]);
    assert_logarithms(&line, &training);
    assert_eq!(line.iter().map(|p| p[0].round()).collect::<Vec<_>>(), counted(1, epochs));
    assert_logarithms(&loss.line("validation", [false, true]), &validation);
    assert!(loss.texts().contains(&"best: epoch 18".into()), "{:?}", loss.texts());
    let y: Vec<_> = loss.ticks("y").iter().map(|tick| tick[1]).collect();
    assert_eq!(y, [0.01, 0.1, 1.0]);
    let metric = svg.panel("mae");
    assert_line(&metric.line("training", [false, false]), &counted(1, epochs), &accuracy);
    // The dashed line is at the same epoch in each panel.
    for panel in [&loss, &metric] {
        let x = panel.scale("x", false);
        let dashed = panel.0.lines().filter(|line| line.contains("dasharray"));
        let ends =
            dashed.map(|line| attribute(line, "d")[1..].split([' ', 'L']).collect::<Vec<_>>());
        // The other is in the legend.
        let upright: Vec<_> = ends.filter(|ends| ends[0] == ends[2]).collect();
        assert_eq!(upright.len(), 1);
        let at: f64 = upright[0][0].parse().unwrap();
        assert!((x(at) - 18.0).abs() < 0.01, "{}", x(at));
    }
}

#[test]
fn a_history_of_one_epoch_of_gaps_and_of_none() {
    let svg = Svg::of("history_one_epoch", &history(&[0.7], None).plot(), [900, 500]);
    let panel = svg.panel("loss");
    assert_eq!((panel.circles(), panel.line("training", [false, false]).len()), (1, 0));
    assert_eq!(panel.ticks("x").iter().map(|t| t[1]).collect::<Vec<_>>(), [1.0]);

    let losses = [4.0, 3.0, f32::NAN, 2.0, f32::INFINITY, 1.0, 1.5];
    let svg = Svg::of("history_gaps", &history(&losses, None).plot(), [900, 500]);
    let panel = svg.panel("loss");
    // Two pieces of two, and one between gaps, which is a dot.
    assert_eq!((panel.line("training", [false, false]).len(), panel.circles()), (4, 1));
    assert_eq!(panel.texts().iter().filter(|text| *text == "×").count(), 2);
    assert!(panel.texts().contains(&"best: epoch 6".into()));
    assert!(!panel.texts().contains(&"validation".into()));

    let svg = Svg::of("history_nothing", &history(&[f32::NAN; 3], None).plot(), [900, 500]);
    assert_eq!(svg.panel("loss").texts().iter().filter(|text| *text == "×").count(), 3);
    let svg = Svg::of("history_empty", &History::default().plot(), [900, 340]);
    assert_eq!(svg.panels(), ["loss"]);
}

/// Adds six numbers to each epoch.
struct More;

impl Callback for More {
    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        for (number, name) in
            ["f1", "precision", "recall", "val_f1", "auc", "bleu"].iter().enumerate()
        {
            let value = 0.5 + 0.4 * ((run.epoch() + number) as f32).sin();
            run.log(*name, value);
        }
        Ok(())
    }
}

#[test]
fn many_numbers_stand_in_two_columns() {
    let x = Sequences::from_array(&numbers(20 * 3, 0.0), [20, 3, 1]).unwrap();
    let y = Targets::values(numbers(20, 1.0), 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    let schedule = wgpu_lstm::train::CosineDecay::new(12).warm_up(3);
    let fit = Fit::new().epochs(12).validation_split(0.25).schedule(schedule).callback(More);
    let history = model.fit(&x, &y, fit.quiet()).unwrap();
    let svg = Svg::of("history_many", &history.plot().title("many"), [1200, 940]);
    assert_eq!(svg.panels().len(), 7);
    let rates: Vec<_> = history.epochs.iter().map(|e| e.learning_rate.unwrap()).collect();
    let panel = svg.panel("learning rate");
    let log = rates.iter().all(|&r| r > 0.0)
        && rates.iter().any(|&r| rates.iter().any(|&s| s >= 100.0 * r));
    let line = panel.line("", [false, log]);
    if log {
        assert_logarithms(&line, &rates)
    } else {
        assert_line(&line, &counted(1, 12), &rates)
    }
    let f1: Vec<_> = history.epochs.iter().map(|e| e.value("val_f1").unwrap()).collect();
    assert_line(&svg.panel("f1").line("validation", [false, false]), &counted(1, 12), &f1);
}

#[test]
fn a_search_for_a_rate_marks_its_suggestion() {
    let values: Vec<f32> = (0..84).map(|i| (i as f32 * 0.3).sin()).collect();
    let windows: Vec<f32> = (0..64).flat_map(|i| values[i..i + 20].to_vec()).collect();
    let x = Sequences::from_array(&windows, [64, 20, 1]).unwrap();
    let y = Targets::values(values[20..].to_vec(), 1);
    let mut model = Sequential::new(&poisoned_cpu()).add(Lstm::new(8)).add(Dense::new(1));
    model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    let found =
        model.find_rate(&x, &y, FindRate::new().fit(Fit::new().batch_size(8).quiet())).unwrap();
    let svg = Svg::of("find_rate", &found.plot(), [900, 340]);
    let line = svg.line("", [true, false]);
    assert_eq!(line.len(), found.rates.len());
    for ([rate, _], &expected) in line.iter().zip(&found.rates) {
        assert!((rate / f64::from(expected)).log10().abs() < 0.01, "{rate}, not {expected}");
    }
    let suggestion = format!("suggestion: {:.1e}", found.suggestion().unwrap());
    assert!(svg.texts().contains(&suggestion), "{:?}", svg.texts());
}

#[test]
fn the_ending_of_a_path_chooses_the_format() {
    let folder = Folder::new("pictures");
    let picture =
        Forecast::new(&[1.0, 2.0]).plot().unwrap().title("\u{7} <&\"'> ünïcödé 数").size(300, 200);
    let path = |name: &str| folder.path().join("new").join(name);
    picture.save(path("a.svg")).unwrap();
    picture.save(path("a.PNG")).unwrap();
    assert_eq!(std::fs::read_to_string(path("a.svg")).unwrap(), picture.to_svg().unwrap());
    assert_eq!(std::fs::read(path("a.PNG")).unwrap(), picture.to_png().unwrap());
    for name in ["a.jpg", "a"] {
        let error = picture.save(path(name)).unwrap_err().to_string();
        assert!(
            error.starts_with("Picture::save is ")
                && error.ends_with("a path that ends in .svg or .png"),
            "{error}"
        );
    }
    assert!(matches!(
        picture.save(path("a.svg").join("b.svg")),
        Err(Error::Io { action: "write", .. })
    ));
    for size in [[0, 200], [200, 10_001], [199, 300]] {
        let error = picture.clone().size(size[0], size[1]).to_svg().unwrap_err();
        assert!(matches!(error, Error::Option { option: "Picture::size", .. }), "{error}");
    }
    Svg::of("smallest", &picture.size(200, 200), [200, 200]);
}
