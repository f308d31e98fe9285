//! Likelihoods as losses against PyTorch's distributions and mpmath, and what they say of outputs against scipy.

use super::gradient;
use crate::common::{Vectors, close, devices, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{Distribution, RowWeights};
use wgpu_lstm::nn::{Dense, Params, Pool, Pooling};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, metrics};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor};

const CASES: [(&str, Distribution); 7] = [
    ("normal", Distribution::Normal),
    ("student_t", Distribution::StudentT),
    ("student_t_large", Distribution::StudentT),
    ("counts", Distribution::NegativeBinomial),
    ("mixture", Distribution::Mixture { components: 3, targets: 2 }),
    ("mixture_one", Distribution::Mixture { components: 4, targets: 1 }),
    ("strokes", Distribution::Strokes { components: 3 }),
];

/// Fails unless each number is near its own, whatever the size of the others.
#[track_caller]
fn each_close(what: &str, found: impl IntoIterator<Item = f64>, expected: &[f32], bound: f64) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (f, &e)) in found.iter().zip(expected).enumerate() {
        let e = f64::from(e);
        assert!(
            (f - e).abs() <= bound * (0.1 + e.abs()),
            "{what}: value {at} is {f}, expected {e}"
        );
    }
}

#[test]
fn losses_and_gradients_of_pytorch() {
    let v = Vectors::load("likelihoods");
    for (name, of) in CASES {
        let (x, y, losses) =
            (v.get(&format!("{name}_x")), v.get(&format!("{name}_y")), v.get(name));
        let (n, d_x) = (losses.len(), v.get(&format!("d_{name}")));
        let found = of.log_probability(&x, &y).unwrap();
        each_close(name, found.iter().map(|log_p| -log_p), &losses, 2e-7);
        for device in devices() {
            let what = format!("{name} on {device}");
            let tape = Tape::new(&Params::new(device));
            let x = tape.input(Tensor::from_slice(&x, [n, x.len() / n], device).unwrap());
            let y = Tensor::from_slice(&y, [n, y.len() / n], device).unwrap();
            let loss = of.loss(&tape, &x, &y, None).unwrap();
            let mean = losses.iter().map(|&l| f64::from(l)).sum::<f64>() / n as f64;
            each_close(&what, value(&loss).into_iter().map(f64::from), &[mean as f32], 1e-5);
            let found = gradient(&tape.backward(&loss).unwrap(), &x);
            let found = found.into_iter().map(|d| f64::from(d) * n as f64);
            each_close(&format!("gradient of {what}"), found, &d_x, 3e-5);
        }
    }
}

#[test]
fn quantiles_and_means_of_scipy() {
    let v = Vectors::load("likelihoods");
    let (three, counts) = (v.get("quantiles_x"), v.get("quantiles_counts_x"));
    let two: Vec<f32> = three.chunks(3).flat_map(|x| [x[0], x[1]]).collect();
    for (name, of, x) in [
        ("normal", Distribution::Normal, &two),
        ("student_t", Distribution::StudentT, &three),
        ("counts", Distribution::NegativeBinomial, &counts),
    ] {
        let expected = v.get(&format!("quantiles_{name}"));
        for (j, &p) in v.get("levels").iter().enumerate() {
            let found = of.quantile(x, p).unwrap();
            let expected: Vec<_> = expected.iter().skip(j).step_by(5).copied().collect();
            each_close(&format!("{name}, {p}"), found.into_iter().map(f64::from), &expected, 2e-6);
        }
    }
    // A mixture of one component is a normal distribution; of two that are far apart, one with a gap.
    let one = Distribution::Mixture { components: 1, targets: 1 };
    let x: Vec<f32> = two.chunks(2).flat_map(|x| [0.7, x[0], x[1]]).collect();
    for p in [0.01, 0.5, 0.8] {
        let normal = Distribution::Normal.quantile(&two, p).unwrap();
        close("a mixture of one", &one.quantile(&x, p).unwrap(), &normal, 1e-6);
    }
    let apart = Distribution::Mixture { components: 2, targets: 1 };
    let x = [0.0, 0.0, -50.0, 50.0, 0.541_325, 0.541_325];
    assert_eq!(apart.mean(&x).unwrap(), [0.0]);
    let found = [0.25, 0.75].map(|p| apart.quantile(&x, p).unwrap()[0]);
    close("two peaks", &found, &[-50.0, 50.0], 1e-5);
}

/// Samples have the mean that is said, and as many of them lie in an interval as are to.
#[test]
fn samples() {
    let pair = [0.3, -0.4, 1.0, -2.0, 0.5, 3.0, 0.1, 0.7, -0.5, 0.2];
    let strokes: Vec<f32> = pair.into_iter().chain([2.0, -0.5, -1.0]).collect();
    for (of, x) in [
        (Distribution::Normal, vec![3.0, 0.5]),
        (Distribution::StudentT, vec![-1.0, 0.2, 3.0]),
        (Distribution::NegativeBinomial, vec![30.0, -1.0]),
        (Distribution::Mixture { components: 2, targets: 2 }, pair.to_vec()),
        (Distribution::Strokes { components: 2 }, strokes),
    ] {
        let n = 20_000;
        let drawn = of.sample(&x.repeat(n), 5).unwrap();
        assert_eq!(drawn, of.sample(&x.repeat(n), 5).unwrap());
        assert_ne!(drawn, of.sample(&x.repeat(n), 6).unwrap());
        let (mean, [low, high]) = (of.mean(&x).unwrap(), of.interval(&x, 0.8).unwrap());
        for d in 0..mean.len() {
            let own: Vec<_> = drawn.iter().skip(d).step_by(mean.len()).copied().collect();
            let found = own.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            let spread = f64::from(high[d] - low[d]).max(1.0);
            let off = (found - f64::from(mean[d])).abs();
            assert!(off < 0.02 * spread, "{of:?}: a mean of {found}, expected {}", mean[d]);
            let [low, high] = [low[d], high[d]].map(|bound| vec![bound; n]);
            let covered = metrics::coverage(&low, &high, &own).unwrap();
            // Of numbers that are whole or yes and no, no interval has just so many.
            let range = if own.iter().all(|v| v.fract() == 0.0) { 0.8..1.01 } else { 0.79..0.81 };
            assert!(range.contains(&covered), "{of:?}: {covered} of the samples");
        }
    }
    // The correlation of a stroke.
    let x = [0.0, 0.0, 0.0, 0.541_325, 0.541_325, 1.0, 0.0];
    let drawn = Distribution::Strokes { components: 1 }.sample(&x.repeat(20_000), 1).unwrap();
    let product: f64 = drawn.chunks(3).map(|v| f64::from(v[0] * v[1])).sum();
    assert!((product / 20_000.0 - 1f64.tanh()).abs() < 0.03, "{product}");
}

/// Rows of weight 0 do not count, whatever they hold; a NaN elsewhere makes its group NaN.
#[test]
fn weights_and_missing_numbers() {
    let of = Distribution::StudentT;
    for device in devices() {
        let params = Params::new(device);
        let run = |x: &[f32], y: &[f32], weights: Option<&[f32]>| {
            let tape = Tape::new(&params);
            let rows = y.len() / 2;
            let x = tape.input(Tensor::from_slice(x, [rows, 6], device).unwrap());
            let y = Tensor::from_slice(y, [rows, 2], device).unwrap();
            let weights = weights.map(|w| RowWeights::new(w, device).unwrap());
            let loss = of.loss(&tape, &x, &y, weights.as_ref()).unwrap();
            (value(&loss)[0], gradient(&tape.backward(&loss).unwrap(), &x))
        };
        let x: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let y = [0.5, -1.0, 2.0, 0.1];
        let (plain, d_plain) = run(&x[..6], &y[..2], None);
        let mut missing = x.clone();
        missing[6..].fill(f32::NAN);
        let (found, d_found) =
            run(&missing, &[0.5, -1.0, f32::NAN, f32::INFINITY], Some(&[3.0, 0.0]));
        close(&format!("padding on {device}"), &[found], &[plain], 1e-6);
        close(&format!("padding on {device}"), &d_found[..6], &d_plain, 1e-6);
        assert_eq!(d_found[6..], [0.0; 6]);
        for at in 0..3 {
            let mut x = x.clone();
            x[3 + at] = f32::NAN;
            let (loss, d_x) = run(&x, &y, None);
            assert!(loss.is_nan() && d_x[3..6].iter().all(|d| d.is_nan()), "{at} on {device}");
            assert!(d_x[..3].iter().chain(&d_x[6..]).all(|d| d.is_finite()), "{at} on {device}");
        }
        let (loss, d_x) = run(&x, &[0.5, -1.0, f32::NAN, 0.1], None);
        assert!(loss.is_nan() && d_x[6..9].iter().all(|d| d.is_nan()), "{device}");
    }
    let nan = [0.0, f32::NAN];
    let normal = Distribution::Normal;
    assert!(normal.mean(&nan).unwrap()[0].is_nan() && normal.sample(&nan, 0).unwrap()[0].is_nan());
    assert!(normal.quantile(&nan, 0.3).unwrap()[0].is_nan());
    assert!(normal.log_probability(&nan, &[0.0]).unwrap()[0].is_nan());
    let counts = Distribution::NegativeBinomial.log_probability(&[1.0, 1.0], &[-1.0]).unwrap();
    assert!(counts[0].is_nan());
}

/// The likeliest mean of counts is their mean, and what is learned of two groups is told apart.
#[test]
fn a_model_learns_counts() {
    let x: Vec<f32> = (0..40).map(|i| (i % 2) as f32).collect();
    let y = some_counts();
    let mean = |of: usize| y.iter().skip(of).step_by(2).sum::<f32>() / 20.0;
    let expected = [mean(0), mean(1)];
    let of = Distribution::NegativeBinomial;
    let x = Sequences::from_array(&x, [40, 1, 1]).unwrap();
    let y = Targets::values(y, 1);
    for device in devices() {
        let pool = Pool::new(Pooling::Last);
        let mut model = Sequential::new(device).add(pool).add(Dense::new(of.outputs(1).unwrap()));
        model.compile(Adam::new(0.5), Loss::Likelihood(of), &[]);
        let history = model.fit(&x, &y, Fit::new().epochs(400).batch_size(40).quiet()).unwrap();
        let forecast = model.predict(&x).unwrap();
        let found = of.mean(&forecast.values()[..4]).unwrap();
        close(&format!("means on {device}"), &found, &expected, 0.05);
        // The loss is the mean of what the host says.
        let loss = model.evaluate_batches(&x, &y, 7).unwrap().loss;
        let log_p = of.log_probability(forecast.values(), &some_counts()).unwrap();
        let nll = -log_p.iter().sum::<f64>() / 40.0;
        assert!((f64::from(loss) - nll).abs() < 1e-4, "{loss}, {nll} on {device}");
        assert!(history.epochs[0].training.loss > loss);
    }
}

/// Of two groups, by turns.
fn some_counts() -> Vec<f32> {
    (0..40).map(|i| if i % 2 == 0 { (i % 7) as f32 } else { (3 * i % 41) as f32 }).collect()
}

#[test]
fn what_does_not_fit_is_told() {
    let device = Device::cpu().unwrap();
    let fit = |outputs: usize, of: Distribution, y: &[f32], width: usize| {
        let mut model =
            Sequential::new(&device).add(Pool::new(Pooling::Last)).add(Dense::new(outputs));
        model.compile(Adam::default(), Loss::Likelihood(of), &[]);
        let x = Sequences::from_array(&[0.5, 1.0], [2, 1, 1]).unwrap();
        model.fit(&x, &Targets::values(y, width), Fit::new().quiet()).unwrap_err().to_string()
    };
    assert_eq!(
        fit(3, Distribution::Normal, &[1.0, 2.0], 1),
        "Targets::width is 1, expected what 3 outputs of the last layer have parameters for; make them 2, by \
         Distribution::outputs"
    );
    assert_eq!(
        fit(2, Distribution::NegativeBinomial, &[1.0, 2.5], 1),
        "sequence 1: targets[1] is 2.5, expected a count, a whole number of at least 0"
    );
    assert_eq!(
        fit(7, Distribution::Strokes { components: 1 }, &[1.0, 2.5, 1.0, 0.0, 0.0, 3.0], 3),
        "sequence 1: targets[5] is 3, expected 1 at the end of a stroke, else 0"
    );
    assert_eq!(
        fit(6, Distribution::Mixture { components: 0, targets: 2 }, &[1.0; 4], 2),
        "Distribution::Mixture is Mixture { components: 0, targets: 2 }, expected of sizes from 1 to 4096"
    );
    assert!(fit(2, Distribution::Normal, &[1.0, f32::NAN], 1).contains("is not finite"));
    let mut model = Sequential::new(&device).add(Pool::new(Pooling::Last)).add(Dense::new(2));
    let loss = Loss::Likelihood(Distribution::Normal);
    model.compile(Adam::default(), loss, &[Metric::MeanSquaredError]);
    let x = Sequences::from_array(&[0.5, 1.0], [2, 1, 1]).unwrap();
    let error = model.fit(&x, &Targets::values([1.0, 2.0], 1), Fit::new().quiet()).unwrap_err();
    assert!(matches!(error, Error::Loss { loss: "Metric::MeanSquaredError", .. }), "{error}");

    let tape = Tape::new(&Params::new(&device));
    let x = tape.input(Tensor::zeros([2, 5], &device).unwrap());
    let y = Tensor::zeros([2, 2], &device).unwrap();
    let error = Distribution::Normal.loss(&tape, &x, &y, None).unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "prediction", .. }), "{error}");
    let x = tape.input(Tensor::zeros([2, 6], &device).unwrap());
    let error = Distribution::Normal.loss(&tape, &x, &y, None).unwrap_err();
    assert!(matches!(error, Error::Shape { arg: "targets", .. }), "{error}");
    let normal = Distribution::Normal;
    assert!(matches!(normal.mean(&[1.0; 3]), Err(Error::Count { .. })));
    assert!(matches!(normal.log_probability(&[1.0; 4], &[1.0]), Err(Error::Count { .. })));
    for p in [0.0, 1.0, f32::NAN] {
        assert!(matches!(normal.quantile(&[1.0; 2], p), Err(Error::Option { .. })));
    }
    for share in [-0.1, 0.0, 1.0, f32::NAN] {
        let error = normal.interval(&[1.0; 2], share).unwrap_err();
        let said = matches!(error, Error::Option { option: "Distribution::interval::share", .. });
        assert!(said, "{error}");
    }
    let pairs = Distribution::Mixture { components: 3, targets: 2 };
    assert!(matches!(pairs.outputs(3), Err(Error::Option { .. })));
}
