//! What sets the learning rate.

use super::*;
use crate::common::Vectors;
use wgpu_lstm::Error;
use wgpu_lstm::nn::{Dropout, Params};
use wgpu_lstm::train::{
    Adam, Constant, CosineDecay, CosineRestarts, ExponentialDecay, FindRate, InverseSquareRoot,
    Mode, OneCycle, PolynomialDecay, ReduceOnPlateau, Schedule, State, StepDecay,
};

#[test]
fn schedules_have_pytorchs_rates() {
    let vectors = Vectors::load("schedules");
    let all: [(&str, Box<dyn Schedule>); 12] = [
        ("constant", Box::new(Constant::new())),
        ("step", Box::new(StepDecay::new(30, 0.3))),
        ("exponential", Box::new(ExponentialDecay::new(0.9995))),
        ("polynomial", Box::new(PolynomialDecay::new(77).power(2.5))),
        ("cosine", Box::new(CosineDecay::new(90).floor(0.02))),
        ("restarts", Box::new(CosineRestarts::new(13).floor(0.1))),
        ("restarts_growing", Box::new(CosineRestarts::new(7).growth(3))),
        ("one_cycle", Box::new(OneCycle::new(101))),
        ("one_cycle_linear", Box::new(OneCycle::new(64).rise(0.25).linear().first_divisor(10.0))),
        (
            "one_cycle_three",
            Box::new(OneCycle::new(90).rise(0.4).three_phases().last_divisor(50.0)),
        ),
        ("warm_up", Box::new(ExponentialDecay::new(0.97).warm_up(20))),
        ("inverse_square_root", Box::new(InverseSquareRoot::new(40))),
    ];
    for (name, schedule) in all {
        schedule.check().unwrap();
        let expected = vectors.get(name);
        for (step, expected) in expected.iter().enumerate() {
            let found = schedule.factor(step as u64);
            assert!((found - expected).abs() < 1e-6, "{name}[{step}]: {found}, not {expected}");
        }
        let end = schedule.factor(u64::MAX);
        assert!((0.0..=1.0).contains(&end), "{name} ends at {end}");
    }
}

#[test]
fn a_schedule_multiplies_the_optimizers_rate_and_gives_it_back() {
    let (x, y) = waves();
    let mut model = model(&poisoned_cpu(), Sgd::new(0.5));
    let mut rates = Vec::new();
    struct Rates<'a>(&'a mut Vec<f32>);
    impl Callback for Rates<'_> {
        fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
            self.0.extend(run.learning_rate());
            Ok(())
        }
    }
    for _ in 0..2 {
        let schedule = StepDecay::new(3, 0.5);
        let fit = Fit::new().batch_size(8).quiet().schedule(schedule).callback(Rates(&mut rates));
        model.fit(&x, &y, fit).unwrap();
    }
    // The second `fit` goes on with step 3, of the same rate.
    assert_eq!(rates, [0.5, 0.5, 0.5, 0.25, 0.25, 0.25]);
}

/// Whatever sets a rate, and whenever: the schedule's factor comes on top.
#[test]
fn a_rate_that_is_set_has_the_schedules_factor() {
    let (x, y) = waves();
    let mut model = model(&poisoned_cpu(), Sgd::new(0.5));
    struct Set<'a>(&'a mut Vec<f32>);
    impl Callback for Set<'_> {
        fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
            run.set_learning_rate(0.25);
            Ok(())
        }
        fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
            self.0.extend(run.learning_rate());
            Ok(())
        }
        fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
            run.scale_learning_rate(0.5);
            self.0.extend(run.learning_rate());
            Ok(())
        }
    }
    let mut rates = Vec::new();
    let fit = Fit::new().batch_size(10).quiet().schedule(StepDecay::new(1, 0.5));
    model.fit(&x, &y, fit.callback(Set(&mut rates))).unwrap();
    // The second step has half the rate that was set for it.
    assert_eq!(rates, [0.25, 0.125, 0.0625]);
    // What was set stays without the factor.
    let fit = Fit::new().batch_size(20).quiet();
    let fit = fit.on_epoch(|run| {
        assert_eq!(run.learning_rate(), Some(0.125));
        Ok(())
    });
    model.fit(&x, &y, fit).unwrap();
}

#[test]
fn schedules_check_their_options() {
    let (x, y) = waves();
    let mut model = model(&poisoned_cpu(), Sgd::new(0.5));
    let mut refused = |schedule: Box<dyn Schedule>| {
        // A boxed schedule goes in by a reference's methods.
        struct Boxed(Box<dyn Schedule>);
        impl Schedule for Boxed {
            fn factor(&self, step: u64) -> f32 {
                self.0.factor(step)
            }
            fn check(&self) -> Result<()> {
                self.0.check()
            }
        }
        match model.fit(&x, &y, Fit::new().quiet().schedule(Boxed(schedule))).unwrap_err() {
            Error::Option { option, .. } => option,
            error => panic!("{error}"),
        }
    };
    assert_eq!(refused(Box::new(StepDecay::new(0, 0.1))), "StepDecay::steps");
    assert_eq!(refused(Box::new(StepDecay::new(1, 0.0))), "StepDecay::factor");
    assert_eq!(refused(Box::new(ExponentialDecay::new(f64::NAN))), "ExponentialDecay::factor");
    assert_eq!(refused(Box::new(PolynomialDecay::new(1).power(-1.0))), "PolynomialDecay::power");
    assert_eq!(refused(Box::new(CosineDecay::new(1).floor(1.5))), "CosineDecay::floor");
    assert_eq!(refused(Box::new(CosineRestarts::new(1).growth(0))), "CosineRestarts::growth");
    assert_eq!(refused(Box::new(OneCycle::new(9).rise(0.6).three_phases())), "OneCycle::rise");
    assert_eq!(refused(Box::new(Constant::new().warm_up(0))), "Schedule::warm_up");
    assert_eq!(refused(Box::new(OneCycle::new(0).warm_up(2))), "OneCycle::steps");
}

/// The rates after each epoch of a script.
fn reduced(losses: &[f32], reduce: impl Callback) -> Vec<f32> {
    let (x, y) = (Sequences::from_array(&[0.0], [1, 1, 1]).unwrap(), Targets::values([0.0], 1));
    let mut rates = Vec::new();
    let fit = Fit::new().epochs(losses.len()).quiet().callback(reduce).callback(script(losses));
    let fit = fit.on_epoch(|run| {
        rates.extend(run.learning_rate());
        Ok(())
    });
    scripted(Sgd::new(1.0)).fit(&x, &y, fit).unwrap();
    rates
}

#[test]
fn a_plateau_reduces_the_rate_as_pytorch_does() {
    let vectors = Vectors::load("schedules");
    let losses = vectors.get("losses");
    let new = || ReduceOnPlateau::new("loss");
    for (name, reduce) in [
        ("plateau", new().factor(0.5).patience(2).cooldown(1).min_rate(0.05)),
        ("plateau_max", new().mode(Mode::Max).factor(0.9).patience(1).threshold(0.01)),
        ("plateau_abs", new().factor(0.3).patience(0).min_delta(0.05).min_rate(1e-3)),
    ] {
        let (found, expected) = (reduced(&losses, reduce), vectors.get(name));
        assert!(expected.last().unwrap() < &0.5, "{name} tests nothing");
        common::close(name, &found, &expected, 1e-6);
    }
}

#[test]
fn a_plateau_goes_on_from_its_state() {
    let losses = Vectors::load("schedules").get("losses");
    let new = || ReduceOnPlateau::new("loss").factor(0.5).patience(2).cooldown(1);
    let whole = reduced(&losses, new());
    for cut in [1, 7, 25, 30] {
        let mut first = new();
        let before = reduced(&losses[..cut], &mut first);
        let mut second = new();
        second.set_state(&first.state().unwrap()).unwrap();
        let after = reduced(&losses[cut..], second);
        // The rate itself is the training's to keep; here it began anew at 1.
        let last = before[cut - 1];
        let after: Vec<_> = after.iter().map(|rate| rate * last).collect();
        assert_eq!(before, whole[..cut]);
        assert_eq!(after, whole[cut..], "cut at {cut}");
    }
    let error = new().set_state(&State::new()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

/// Momentum on the host, which gives its state away and takes it back.
#[derive(Default)]
struct Heavy {
    rate: f32,
    velocities: State,
}

impl Optimizer for Heavy {
    fn step(&mut self, params: &Params) -> Result<()> {
        params.update(|name, values, gradient| {
            let before = self.velocities.values(name).map(<[f32]>::to_vec);
            let mut velocity = before.unwrap_or_else(|_| vec![0.0; values.len()]);
            for ((v, value), g) in velocity.iter_mut().zip(values).zip(gradient) {
                *v = 0.9 * *v + g;
                *value -= self.rate * *v;
            }
            self.velocities.set_values(name, velocity);
        })?;
        Ok(())
    }

    fn learning_rate(&self) -> Option<f32> {
        Some(self.rate)
    }

    fn set_learning_rate(&mut self, rate: f32) {
        self.rate = rate;
    }

    fn state(&self, _params: &Params) -> Result<State> {
        Ok(self.velocities.clone())
    }

    fn set_state(&mut self, _params: &Params, state: &State) -> Result<()> {
        self.velocities = state.clone();
        Ok(())
    }
}

#[test]
fn the_search_for_a_rate_leaves_no_trace() {
    let (x, y) = waves();
    for device in devices() {
        let train = |search: bool| {
            let mut model = Sequential::new(device)
                .seed(4)
                .add(Lstm::new(6).stateful())
                .add(Dropout::new(0.3))
                .add(Dense::new(1));
            let heavy = Heavy { rate: 0.02, ..Heavy::default() };
            model.compile(heavy, Loss::MeanSquaredError, &[]);
            for _ in 0..2 {
                model.fit(&x, &y, Fit::new().epochs(2).batch_size(10).quiet()).unwrap();
                if search {
                    // Of another size than the states are.
                    let fit = Fit::new().batch_size(5).seed(9).validation_split(0.5);
                    let options = FindRate::new().rates(1e-4, 1e4).steps(40).fit(fit);
                    let found = model.find_rate(&x, &y, options).unwrap();
                    assert!((5..40).contains(&found.rates.len()), "{found:?}");
                    assert_eq!(found.rates.len(), found.losses.len());
                    assert!(found.losses.iter().all(|loss| loss.is_finite()));
                    assert!(
                        (found.rates[1] / found.rates[0] - 1e8f32.powf(1.0 / 39.0)).abs() < 1e-3
                    );
                }
            }
            let predicted = model.predict_batches(&x, 10).unwrap();
            (weights(&model), predicted)
        };
        assert!(train(false) == train(true), "{device}");
    }
}

#[test]
fn the_search_finds_a_rate_that_trains() {
    let (x, y) = waves();
    let new = || model(&poisoned_cpu(), Sgd::new(1.0));
    let options = || FindRate::new().rates(1e-5, 100.0).steps(150).fit(Fit::new().batch_size(20));
    let found = new().find_rate(&x, &y, options()).unwrap();
    let rate = found.suggestion().unwrap();
    assert!((1e-3..10.0).contains(&rate), "{rate}: {found:?}");
    let mut model = model(&poisoned_cpu(), Sgd::new(rate));
    let history = model.fit(&x, &y, Fit::new().epochs(100).batch_size(20).quiet()).unwrap();
    let [first, last] = [&history.epochs[0], &history.epochs[99]].map(|e| e.training.loss);
    assert!(last < 0.5 * first, "{last}, {first}");
    assert_eq!(found.to_csv().lines().count(), found.rates.len() + 1);
    let row = found.to_csv().lines().nth(1).unwrap().to_owned();
    let numbers: Vec<f32> = row.split(',').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, [found.rates[0], found.losses[0]]);
}

/// A forecast of a sine by small batches, whose losses scatter: over several seeds, with all options as they are.
#[test]
fn the_search_suggests_no_first_rate_of_a_noisy_forecast() {
    let values: Vec<f32> = (0..84).map(|i| (i as f32 * 0.3).sin()).collect();
    let windows: Vec<f32> = (0..64).flat_map(|i| values[i..i + 20].to_vec()).collect();
    let x = Sequences::from_array(&windows, [64, 20, 1]).unwrap();
    let y = Targets::values(values[20..].to_vec(), 1);
    for seed in 0..6 {
        let new = |rate| {
            let device = poisoned_cpu();
            let mut model =
                Sequential::new(&device).seed(seed).add(Lstm::new(8)).add(Dense::new(1));
            model.compile(Adam::new(rate), Loss::MeanSquaredError, &[]);
            model
        };
        let fit = || Fit::new().batch_size(8).seed(seed).quiet();
        let found = new(1e-3).find_rate(&x, &y, FindRate::new().fit(fit())).unwrap();
        let rate = found.suggestion().unwrap_or_else(|| panic!("{seed}: {found:?}"));
        assert!((1e-4..1.0).contains(&rate), "{seed}: {rate}, {found:?}");
        let history = new(rate).fit(&x, &y, fit().epochs(15)).unwrap();
        let [first, last] = [&history.epochs[0], &history.epochs[14]].map(|e| e.training.loss);
        assert!(last < 0.01 * first, "{seed}: {rate}, {first} to {last}");
    }
}

#[test]
fn the_search_checks_its_options_and_leaves_errors_alone() {
    let (x, y) = waves();
    let mut model = model(&poisoned_cpu(), Sgd::new(1.0));
    let mut refused = |options| match model.find_rate(&x, &y, options).unwrap_err() {
        Error::Option { option, .. } => option,
        error => panic!("{error}"),
    };
    assert_eq!(refused(FindRate::new().rates(1.0, 0.1)), "FindRate::rates");
    assert_eq!(refused(FindRate::new().rates(f32::NAN, 0.1)), "FindRate::rates");
    assert_eq!(refused(FindRate::new().steps(1)), "FindRate::steps");
    assert_eq!(refused(FindRate::new().smoothing(1.0)), "FindRate::smoothing");
    assert_eq!(refused(FindRate::new().fit(Fit::new().batch_size(0))), "Fit::batch_size");
    let mut plain = Sequential::new(&poisoned_cpu()).add(Dense::new(1));
    let error = plain.find_rate(&x, &y, FindRate::new()).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { call: "compile", .. }), "{error}");
    struct Rateless;
    impl Optimizer for Rateless {
        fn step(&mut self, params: &Params) -> Result<()> {
            params.zero_gradients()
        }
    }
    plain.compile(Rateless, Loss::MeanSquaredError, &[]);
    let error = plain.find_rate(&x, &y, FindRate::new()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}
