use crate::common::{Vectors, close, devices};
use crate::{data, model, numbers, weights};
use wgpu_lstm::nn::{Embedding, Lstm, Params};
use wgpu_lstm::train::{Averaging, Ema, Fit, Sgd, State, Swa};
use wgpu_lstm::{Device, Error, Tape, Tensor};

fn params(device: &Device) -> Params {
    let params = Params::new(device);
    for (i, shape) in [vec![5, 7], vec![5], vec![3, 4, 2]].into_iter().enumerate() {
        let values = numbers(shape.iter().product(), i as f32);
        params.insert(format!("p.{i}"), shape, &values).unwrap();
    }
    params
}

/// Sets weights that depend on the step.
fn set(params: &Params, step: usize) -> Vec<f32> {
    for (j, name) in params.names().iter().enumerate() {
        let len = params.shape(name).unwrap().iter().product();
        params.set(name, &numbers(len, (step * 10 + j) as f32)).unwrap();
    }
    weights(params)
}

#[test]
fn as_pytorch_averages() {
    let vectors = Vectors::load("grads");
    for device in devices() {
        let kinds: [(&str, Box<dyn Averaging>); 2] =
            [("ema", Box::new(Ema::new(0.8))), ("swa", Box::new(Swa::new()))];
        for (kind, mut average) in kinds {
            let params = params(device);
            for step in 0..6 {
                for j in 0..3 {
                    let values = vectors.get(&format!("weights_{step}_{j}"));
                    params.set(&format!("p.{j}"), &values).unwrap();
                }
                average.update(&params).unwrap();
            }
            let last = weights(&params);
            average.apply(&params).unwrap();
            average.apply(&params).unwrap();
            for j in 0..3 {
                let found = params.get(&format!("p.{j}")).unwrap();
                let expected = vectors.get(&format!("{kind}_{j}"));
                close(&format!("{kind} {j} on {device}"), &found, &expected, 1e-6);
            }
            average.restore(&params).unwrap();
            average.restore(&params).unwrap();
            assert_eq!(weights(&params), last);
        }
    }
}

/// The mean of some rows of numbers, with these shares.
fn mean(rows: &[Vec<f32>], shares: &[f64]) -> Vec<f32> {
    let at = |i: usize| rows.iter().zip(shares).map(|(r, s)| f64::from(r[i]) * s).sum::<f64>();
    (0..rows[0].len()).map(|i| at(i) as f32).collect()
}

fn applied(average: &mut dyn Averaging, params: &Params) -> Vec<f32> {
    average.apply(params).unwrap();
    let found = weights(params);
    average.restore(params).unwrap();
    found
}

#[test]
fn the_first_weights_of_a_warm_up_count_less() {
    for device in devices() {
        let params = params(device);
        let mut ema = Ema::new(0.5).warm_up();
        let rows: Vec<_> = (0..12)
            .map(|step| {
                let row = set(&params, step);
                ema.update(&params).unwrap();
                row
            })
            .collect();
        let mut shares = vec![1.0];
        for n in 1..12 {
            let decay = (1.0 + n as f64) / (10.0 + n as f64);
            shares.iter_mut().for_each(|s| *s *= decay.min(0.5));
            shares.push(1.0 - decay.min(0.5));
        }
        close(&format!("{device}"), &applied(&mut ema, &params), &mean(&rows, &shares), 1e-6);
    }
}

#[test]
fn from_a_step_on_every_few() {
    let params = params(&devices()[0]);
    let mut swa = Swa::new().start(3).every(2);
    let mut rows = Vec::new();
    for step in 1..=9 {
        let row = set(&params, step);
        swa.update(&params).unwrap();
        if [5, 7, 9].contains(&step) {
            rows.push(row.clone());
        }
        if step < 5 {
            assert_eq!(applied(&mut swa, &params), row, "there is no mean yet");
        }
    }
    close("a mean", &applied(&mut swa, &params), &mean(&rows, &[1.0 / 3.0; 3]), 1e-6);
}

/// NT-ASGD: the condition of the paper's algorithm 1.
#[test]
fn from_a_loss_on_that_no_longer_improves() {
    let params = params(&devices()[0]);
    let start = |patience: usize, losses: &[f32]| {
        let mut swa = Swa::triggered(patience);
        for (step, &loss) in losses.iter().enumerate() {
            let row = set(&params, step);
            swa.update(&params).unwrap();
            if applied(&mut swa, &params) != row {
                return Some(step);
            }
            swa.observe(loss);
        }
        None
    };
    // The mean of two weights is there two steps behind the loss that began it.
    let losses = [5.0, 4.0, 4.5, 4.6, 4.7, 4.8, 4.9, 5.0];
    // 4.5 is above 4: of the losses before, all count.
    assert_eq!(start(0, &losses), Some(4));
    // 4.7 is the first above one of those before, but the last two: above 4.
    assert_eq!(start(2, &losses), Some(6));
    assert_eq!(start(5, &losses), None);
    assert_eq!(start(0, &[3.0, 2.0, f32::NAN, 1.0, 1.0, 0.5]), None);
}

#[test]
fn tables_are_averaged() {
    for device in devices() {
        let train = |sparse: bool| {
            let params = Params::seeded(device, 5);
            let words = Embedding::new(30, 6);
            let words = if sparse { words.sparse() } else { words }.build(&params).unwrap();
            let lstm = Lstm::new(4).build(&params, 6).unwrap();
            let (mut sgd, mut ema) = (Sgd::new(0.5), Ema::new(0.6));
            for step in 0..4u32 {
                let tape = Tape::new(&params);
                let x = words.lookup(&tape, &[7, step, 29], [1, 3]).unwrap();
                let y = lstm.forward(&tape, &x).unwrap();
                let d_y = Tensor::from_slice(&[3.0, -2.0, 1.0, 0.5], y.shape(), device).unwrap();
                tape.backward_from(&[(&y, d_y)]).unwrap();
                sgd.step(&params).unwrap();
                ema.update(&params).unwrap();
            }
            let last = weights(&params);
            let found = applied(&mut ema, &params);
            assert_ne!(found, last);
            assert_eq!(weights(&params), last);
            found
        };
        close(&format!("{device}"), &train(true), &train(false), 1e-6);
    }
}

#[test]
fn a_state_goes_on() {
    for device in devices() {
        let kinds: [fn() -> Box<dyn Averaging>; 3] = [
            || Box::new(Ema::new(0.9).warm_up()),
            || Box::new(Swa::new().start(1).every(2)),
            || Box::new(Swa::triggered(0)),
        ];
        for (kind, make) in kinds.into_iter().enumerate() {
            for (kept_at, inside) in [(0, true), (3, false), (3, true), (4, true)] {
                let what = format!("{kind}, kept at {kept_at}, applied {inside}, {device}");
                let params = params(device);
                let mut average = make();
                let go_on = |average: &mut dyn Averaging, params: &Params, step: usize| {
                    set(params, step);
                    average.update(params).unwrap();
                    average.observe(step as f32);
                };
                (0..kept_at).for_each(|step| go_on(average.as_mut(), &params, step));
                if inside {
                    average.apply(&params).unwrap();
                }
                // What a checkpoint has, for another process.
                let (state, held) = (average.state(&params).unwrap(), weights(&params));
                let (other, mut resumed) = (self::params(device), make());
                set_all(&other, &held);
                resumed.set_state(&other, &state).unwrap();
                assert_eq!(resumed.state(&other).unwrap(), state, "{what}");
                assert_eq!(weights(&other), held, "{what}");
                for (average, params) in [(&mut average, &params), (&mut resumed, &other)] {
                    average.restore(params).unwrap();
                }
                assert_eq!(weights(&other), weights(&params), "{what}");
                for step in kept_at..7 {
                    go_on(average.as_mut(), &params, step);
                    go_on(resumed.as_mut(), &other, step);
                }
                let found = applied(resumed.as_mut(), &other);
                assert_eq!(found, applied(average.as_mut(), &params), "{what}");
            }
        }
    }
}

fn set_all(params: &Params, values: &[f32]) {
    let mut at = 0;
    for name in params.names() {
        let len: usize = params.shape(&name).unwrap().iter().product();
        params.set(&name, &values[at..at + len]).unwrap();
        at += len;
    }
}

#[test]
fn states_of_others_are_refused() {
    let device = &devices()[0];
    let params = params(device);
    let mut ema = Ema::new(0.5);
    ema.update(&params).unwrap();
    let before = weights(&params);
    let state = ema.state(&params).unwrap();
    assert!(matches!(ema.set_state(&params, &State::new()), Err(Error::Missing { .. })));
    assert!(matches!(Swa::new().set_state(&params, &state), Err(Error::Missing { .. })));
    let other = Params::new(device);
    other.insert("q.0", [2], &[1.0, 2.0]).unwrap();
    assert!(matches!(Ema::new(0.5).set_state(&other, &state), Err(Error::Missing { .. })));
    let other = Params::new(device);
    other.insert("p.0", [2], &[1.0, 2.0]).unwrap();
    let error = Ema::new(0.5).set_state(&other, &state).unwrap_err();
    let Error::At { place, error } = error else { panic!("{error}") };
    assert!(place.contains("p.0") && matches!(*error, Error::Count { .. }), "{place}: {error}");
    assert_eq!(weights(&other), [1.0, 2.0]);
    assert_eq!(weights(&params), before);
}

#[test]
fn settings_that_make_no_sense() {
    let params = params(&devices()[0]);
    for decay in [-0.1, 1.0, f32::NAN] {
        let error = Ema::new(decay).update(&params).unwrap_err();
        assert!(matches!(error, Error::Option { option: "Ema::decay", .. }), "{error}");
    }
    let error = Swa::new().every(0).update(&params).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Swa::every", .. }), "{error}");
    // A training says so before its first step.
    let (x, y) = data(4);
    let mut model = model(&devices()[0], Sgd::new(0.5));
    model.build(3).unwrap();
    let before = weights(model.params());
    let error = model.fit(&x, &y, Fit::new().quiet().average(Ema::new(1.5))).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Ema::decay", .. }), "{error}");
    assert_eq!(weights(model.params()), before);
    let none = Params::new(&devices()[0]);
    assert!(matches!(Ema::new(0.5).update(&none), Err(Error::NotBuilt { .. })));
    // Parameters that came later: the averages begin anew.
    let mut ema = Ema::new(0.5);
    ema.update(&params).unwrap();
    params.insert("p.3", [2], &[1.0, 2.0]).unwrap();
    let row = set(&params, 3);
    ema.update(&params).unwrap();
    assert_eq!(applied(&mut ema, &params), row);
}

/// Validation and what is there after each epoch and in the end are the averages; steps go on without.
#[test]
fn a_training_is_validated_with_the_averages() {
    let ((x, y), (v, w)) = (data(12), data(5));
    for device in devices() {
        let (mut plain, mut averaged) =
            (model(device, Sgd::new(0.5)), model(device, Sgd::new(0.5)));
        let fit = || Fit::new().epochs(3).batch_size(4).validation_data(&v, &w).quiet();
        let of_plain = plain.fit(&x, &y, fit()).unwrap();
        let mut ema = Ema::new(0.9);
        let mut seen = Vec::new();
        let history = averaged
            .fit(
                &x,
                &y,
                fit().average(&mut ema).on_epoch(|run| {
                    seen.push(weights(run.params()));
                    Ok(())
                }),
            )
            .unwrap();
        for (a, b) in history.epochs.iter().zip(&of_plain.epochs) {
            assert_eq!(a.training, b.training, "steps do not see the averages");
            assert_ne!(a.validation, b.validation);
        }
        let found = averaged.evaluate_batches(&v, &w, 4).unwrap();
        assert_eq!(history.epochs[2].validation, Some(found));
        assert_eq!(seen[2], weights(averaged.params()));
        ema.restore(averaged.params()).unwrap();
        assert_eq!(weights(averaged.params()), weights(plain.params()));
    }
}
