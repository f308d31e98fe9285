//! What models give, and what is inside of them.

use crate::numbers;
use crate::svg::{Svg, assert_line, assert_logarithms, counted, points};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Embedding, Lstm, Rnn};
use wgpu_lstm::plot::{Forecast, gradient_flow};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::{Loss, Sgd};
use wgpu_lstm::{Error, Sequential};

#[test]
fn a_forecast_lies_in_its_intervals() {
    let history: Vec<f32> = (0..40).map(|i| 10.0 + 3.0 * (0.4 * i as f32).sin()).collect();
    let median: Vec<f32> = (40..52).map(|i| 10.0 + 3.0 * (0.4 * i as f32).sin()).collect();
    let truth: Vec<f32> = median.iter().zip(numbers(12, 2.0)).map(|(m, n)| m + n).collect();
    let around = |width: f32| -> [Vec<f32>; 2] {
        [-1.0, 1.0].map(|side| {
            median
                .iter()
                .enumerate()
                .map(|(i, m)| m + side * width * (1.0 + 0.1 * i as f32))
                .collect()
        })
    };
    let (narrow, wide) = (around(0.7), around(1.4));
    let forecast = Forecast::new(&median)
        .history(&history)
        .truth(&truth)
        .interval(0.5, &narrow[0], &narrow[1])
        .interval(0.9, &wide[0], &wide[1]);
    let svg = Svg::of("forecast", &forecast.plot().unwrap().title("sales"), [900, 380]);
    assert_line(&svg.line("history", [false; 2]), &counted(0, 40), &history);
    assert_line(&svg.line("truth", [false; 2]), &counted(40, 12), &truth);
    assert_line(&svg.line("forecast", [false; 2]), &counted(40, 12), &median);
    let band = |name: &str| -> Vec<[f64; 2]> {
        let title = format!("<title>{name}</title>");
        let line = svg.0.lines().find(|l| l.starts_with("<polygon") && l.contains(&title)).unwrap();
        let (x, y) = (svg.scale("x", false), svg.scale("y", false));
        points(line).into_iter().map(|[a, b]| [x(a), y(b)]).collect()
    };
    for (name, ends) in [("50 % interval", &narrow), ("90 % interval", &wide)] {
        let outline = band(name);
        let (lower, upper) = outline.split_at(12);
        assert_line(lower, &counted(40, 12), &ends[0]);
        let upper: Vec<_> = upper.iter().rev().copied().collect();
        assert_line(&upper, &counted(40, 12), &ends[1]);
    }
    // The narrow one is drawn above the wide one.
    assert!(svg.0.find("<title>90 %").unwrap() < svg.0.find("<title>50 %").unwrap());

    let days: Vec<String> =
        (0..52).map(|day| format!("2026-{:02}-{:02}", 1 + day / 28, 1 + day % 28)).collect();
    let svg = Svg::of("forecast_days", &forecast.clone().labels(&days).plot().unwrap(), [900, 380]);
    let shown = svg.group("x", None).texts();
    assert!((4..=12).contains(&shown.len()), "{shown:?}");
    assert!(shown.iter().all(|day| days.contains(day)));
    let years: Vec<f64> = (0..52).map(|year| 1970.0 + f64::from(year)).collect();
    let svg = Svg::of("forecast_years", &forecast.clone().x(&years).plot().unwrap(), [900, 380]);
    assert_line(&svg.line("forecast", [false; 2]), &counted(2010, 12), &median);
    Svg::of("forecast_small", &forecast.plot().unwrap().title("sales").size(360, 260), [360, 260]);
    Svg::of(
        "forecast_point",
        &Forecast::new(&[2.0]).interval(0.9, &[1.0], &[3.0]).plot().unwrap(),
        [900, 380],
    );
    let gaps = Forecast::new(&[1.0, f32::NAN, 2.0, 3.0]).interval(
        0.9,
        &[0.0, 0.0, f32::NAN, 2.0],
        &[2.0, 2.0, 3.0, 4.0],
    );
    Svg::of("forecast_gaps", &gaps.plot().unwrap(), [900, 380]);

    let message = |forecast: Forecast| forecast.plot().unwrap_err().to_string();
    let new = || Forecast::new(&median);
    assert!(message(new().truth(&[1.0])).starts_with("Forecast::truth: 1 values"));
    assert!(message(new().labels(&["a"])).starts_with("Forecast::labels: 1 values"));
    assert!(
        message(new().interval(0.5, &[1.0], &[2.0])).starts_with("Forecast::interval: 1 values")
    );
    let error = message(new().interval(50.0, &narrow[0], &narrow[1]));
    assert_eq!(error, "Forecast::interval is 50, expected a probability between 0 and 1");
    assert!(matches!(Forecast::new(&[]).plot(), Err(Error::Empty { .. })));
}

#[test]
fn saliency_and_gradient_flow_of_models() {
    let (rows, timesteps) = (8, 40);
    let x =
        Sequences::from_array(&numbers(rows * timesteps * 3, 0.3), [rows, timesteps, 3]).unwrap();
    let y = Targets::values(numbers(rows, 7.0), 1);
    let device = poisoned_cpu();
    let built = |mut model: Sequential, features: usize| {
        model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
        model.build(features).unwrap();
        model
    };
    let lstm = built(Sequential::new(&device).add(Lstm::new(16)).add(Dense::new(1)), 3);
    let rnn = built(Sequential::new(&device).add(Rnn::new(16)).add(Dense::new(1)), 3);
    let found = &lstm.saliency(&x, None).unwrap()[0];
    let svg = Svg::of("saliency", &found.plot(), [900, 220]);
    let cells = svg.panel("gradient of output 0").cells(timesteps);
    assert_eq!(cells.len(), 3 * timesteps);
    let side = |at: usize| i16::from(cells[at][2]) - i16::from(cells[at][0]);
    let largest = found.gradient.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    for (at, &gradient) in found.gradient.iter().enumerate() {
        let cell = at % 3 * timesteps + at / 3;
        assert!(gradient.abs() < 0.05 * largest || (side(cell) > 0) == (gradient > 0.0), "{at}");
    }
    let (a, b) = (&lstm.gradient_flow(&x, &y).unwrap()[0], &rnn.gradient_flow(&x, &y).unwrap()[0]);
    let svg = Svg::of("gradient_flow", &gradient_flow(&[("LSTM", a), ("RNN", b)]), [900, 340]);
    assert_logarithms(&svg.line("LSTM, h", [false, true]), &a.h);
    assert_logarithms(&svg.line("RNN, h", [false, true]), &b.h);
    // The last cell state reaches the loss by h alone: 0 has no logarithm.
    assert_eq!(a.c[timesteps - 1], 0.0);
    assert_logarithms(&svg.line("LSTM, c", [false, true]), &a.c[..timesteps - 1]);
    assert!(!svg.0.contains("RNN, c"));

    let one = Sequences::from_array(&numbers(timesteps, 0.3), [1, timesteps, 1]).unwrap();
    let model = built(Sequential::new(&device).add(Lstm::new(8)).add(Dense::new(1)), 1);
    let found = &model.saliency(&one, None).unwrap()[0];
    let svg = Svg::of("saliency_one_feature", &found.plot(), [900, 340]);
    assert_line(&svg.line("", [false; 2]), &counted(0, timesteps), &found.gradient);
    let tokens = Sequences::from_tokens([(0..12).map(|i| i * 5 % 12).collect::<Vec<_>>()]).unwrap();
    let words =
        Sequential::new(&device).add(Embedding::new(12, 4)).add(Lstm::new(8)).add(Dense::new(1));
    let found = &built(words, 1).saliency(&tokens, None).unwrap()[0];
    let svg = Svg::of("saliency_tokens", &found.plot(), [900, 340]);
    assert_line(&svg.line("", [false; 2]), &counted(0, 12), &found.norms());
}
