//! Situations of users that once failed, each with what is right: of a kind that no op's own test has.

mod common;

use common::{close, devices, gpu, lacks};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Activation, Dense, Embedding, Layer, Lstm, Params, Pool, Pooling, Precision};
use wgpu_lstm::testing::{binding_bytes, poisoned_cpu};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, Sgd};
use wgpu_lstm::{Device, Error, GpuOptions, Lengths, Result, Tape, Tensor, Var};

fn quiet<'a>() -> Fit<'a> {
    Fit::new().quiet()
}

/// `n` sequences of `t` frames of `f` features, without a pattern.
fn sequences(n: usize, t: usize, f: usize) -> Sequences {
    let values: Vec<_> = (0..n * t * f).map(|i| (i as f32 * 0.731).sin()).collect();
    Sequences::from_array(&values, [n, t, f]).unwrap()
}

#[test]
fn predictions_and_metrics_agree_on_what_an_output_means() {
    let x = sequences(40, 3, 2);
    let y = Targets::values((0..40).map(|i| f32::from(i % 3 == 0)).collect::<Vec<_>>(), 1);
    for device in devices() {
        for activation in [Activation::Linear, Activation::Sigmoid] {
            let mut model = Sequential::new(device)
                .seed(3)
                .add(Lstm::new(5))
                .add(Dense::new(1).activation(activation));
            model.compile(Adam::new(1e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
            model.fit(&x, &y, quiet().epochs(2)).unwrap();
            let classes = model.predict(&x).unwrap().classes();
            let right = classes.iter().enumerate().filter(|&(i, &c)| (c == 1) == (i % 3 == 0));
            let accuracy = right.count() as f32 / 40.0;
            let found = model.evaluate(&x, &y).unwrap().metrics[0];
            assert!((found - accuracy).abs() < 1e-6, "{activation:?} on {device}");
        }
    }
}

/// A sigmoid of a tiny logit is a half exactly, two logits that differ in the last place are as likely:
/// what was rounded away still tells the class, as it does in the metric.
#[test]
fn classes_are_told_where_probabilities_tie() {
    let x = Sequences::from_array(&[1.0], [1, 1, 1]).unwrap();
    for device in devices() {
        for (units, activation, loss, bias, right) in [
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![1e-9], 1),
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![-1e-9], 0),
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy, vec![0.0], 0),
            (2, Activation::Softmax, Loss::CrossEntropy, vec![1e-9, 1.1e-9], 1),
        ] {
            let mut model = Sequential::new(device)
                .add(Pool::new(Pooling::Last))
                .add(Dense::new(units).activation(activation));
            model.build(1).unwrap();
            model.params().set("dense.weight", &vec![0.0; units]).unwrap();
            model.params().set("dense.bias", &bias).unwrap();
            let targets = match units {
                1 => Targets::values([right as f32], 1),
                _ => Targets::classes([right as u32]),
            };
            model.compile(Sgd::new(0.0), loss, &[Metric::Accuracy]);
            let classes = model.predict(&x).unwrap().classes();
            assert_eq!(classes, [right], "{bias:?} on {device}");
            assert_eq!(
                model.evaluate(&x, &targets).unwrap().metrics,
                [1.0],
                "{bias:?} on {device}"
            );
        }
    }
}

/// A layer that says one thing and gives another, in one of many ways.
#[derive(Clone)]
struct Liar {
    what: &'static str,
    panics: Arc<AtomicBool>,
}

impl Layer for Liar {
    fn kind(&self) -> &'static str {
        "liar"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        match self.what {
            "size 0" => 0,
            "too wide" => 2,
            _ => 4,
        }
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence && self.what != "a sequence"
    }
    fn fixed_timesteps(&self) -> Option<usize> {
        match self.what {
            "fixed" => Some(2),
            "fixed to many" => Some(usize::MAX),
            "fixed to none" => Some(0),
            _ => None,
        }
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        assert!(!self.panics.load(Ordering::Relaxed), "a fault of the user's");
        let (shape, device) = (x.shape(), x.tensor().device());
        Ok(match self.what {
            "rows" => Tensor::zeros([shape[0] - 1, shape[1], 4], &device)?.into(),
            "timesteps" => Tensor::zeros([shape[0], shape[1] / 2, 4], &device)?.into(),
            "axes" => Tensor::zeros([shape[0] * shape[1] * 4], &device)?.into(),
            _ => x.clone(),
        })
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

#[test]
fn a_layer_that_is_not_what_it_says_is_an_error() {
    let (x, y) = (sequences(6, 4, 4), Targets::values([0.0; 24 * 4], 4));
    for device in devices() {
        for what in [
            "size 0",
            "too wide",
            "a sequence",
            "fixed",
            "fixed to many",
            "fixed to none",
            "rows",
            "timesteps",
            "axes",
        ] {
            let liar = Liar { what, panics: Arc::default() };
            let mut model = Sequential::new(device).add(liar).add(Dense::new(4));
            model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
            let trained = model.fit(&x, &y, quiet());
            let is_right = |error: &Error| match what {
                // Here the targets already do not fit.
                "a sequence" | "fixed" => {
                    matches!(error, Error::Targets { .. } | Error::Layer { kind: "liar", .. })
                }
                _ => matches!(error, Error::Layer { kind: "liar", .. } | Error::Targets { .. }),
            };
            assert!(trained.as_ref().is_err_and(is_right), "{what} on {device}: {trained:?}");
            if model.build(4).is_ok() {
                let said = model.predict(&x);
                let is_right = |error: &Error| matches!(error, Error::Layer { kind: "liar", .. });
                assert!(said.as_ref().is_err_and(is_right), "{what} on {device}: {said:?}");
            }
        }
    }
}

#[test]
fn a_panic_of_the_users_costs_no_compiled_model() {
    let (x, y) = (sequences(6, 4, 4), Targets::values([0.0; 6 * 4 * 4], 4));
    let panics = Arc::new(AtomicBool::new(true));
    let mut model = Sequential::new(&devices()[0])
        .add(Liar { what: "", panics: panics.clone() })
        .add(Dense::new(4));
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    let fit = std::panic::AssertUnwindSafe(|| model.fit(&x, &y, quiet()));
    assert!(std::panic::catch_unwind(fit).is_err());
    panics.store(false, Ordering::Relaxed);
    model.fit(&x, &y, quiet()).unwrap();
}

/// A model whose parameters take more than one binding, and whose table alone does.
fn large(device: &Device, sparse: bool) -> Sequential {
    let table = Embedding::new(5000, 8);
    Sequential::new(device)
        .seed(5)
        .add(if sparse { table.sparse() } else { table })
        .add(Lstm::new(12).num_layers(3))
        .add(Dense::new(1))
}

/// Bindings of 64 KiB, where the parameters of the model above take 183 KiB.
fn small_bindings() -> Device {
    gpu(binding_bytes(GpuOptions::default(), 1 << 16).poison())
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn parameters_larger_than_a_binding_train_as_on_the_cpu() {
    let rows: Vec<Vec<u32>> = (0..64)
        .map(|row| (0..3 + row % 5).map(|t| (row * 977 + t * 1553) % 5000).collect())
        .collect();
    let x = Sequences::from_tokens(&rows).unwrap();
    let y = Targets::values((0..64).map(|i| (i as f32 * 0.3).sin()).collect::<Vec<_>>(), 1);
    let gpu = small_bindings();
    for sparse in [false, true] {
        for adam in [true, false] {
            let train = |device: &Device| {
                let mut model = large(device, sparse);
                match adam {
                    true => model.compile(Adam::new(1e-2), Loss::MeanSquaredError, &[]),
                    false => {
                        let sgd = Sgd::new(0.1).momentum(0.5);
                        model.compile(sgd, Loss::MeanSquaredError, &[])
                    }
                };
                let history = model.fit(&x, &y, quiet().epochs(3)).unwrap();
                let losses: Vec<_> = history.epochs.iter().map(|e| e.training.loss).collect();
                let weights = model.params().get("embedding.weight").unwrap();
                (losses, weights, model.predict(&x).unwrap().values().to_vec())
            };
            let (losses, weights, values) = train(&poisoned_cpu());
            let (found, found_weights, found_values) = train(&gpu);
            let what = format!("sparse {sparse}, adam {adam} on {gpu}");
            close(&what, &found, &losses, 1e-4);
            close(&what, &found_values, &values, 1e-3);
            close(&what, &found_weights, &weights, 1e-3);
        }
    }
}

/// Plain descent moves the rows that are drawn alone, whichever way their gradient is kept.
#[test]
fn a_sparse_table_has_the_gradient_and_the_descent_of_a_dense_one() {
    for device in devices() {
        let run = |sparse: bool, set: bool| {
            let params = Params::seeded(device, 4);
            let table = Embedding::new(50, 3).padding_index(7);
            let table = if sparse { table.sparse() } else { table }.build(&params).unwrap();
            if set {
                let values: Vec<_> = (0..150).map(|i| i as f32 * 0.01).collect();
                params.set("embedding.weight", &values).unwrap();
            }
            let tape = Tape::new(&params);
            // Drawn twice in a step: the two gradients are one.
            let a = table.lookup(&tape, &[3, 7, 49, 3], [2, 2]).unwrap();
            let b = table.lookup(&tape, &[0, 3], [1, 2]).unwrap();
            let seeds = [([2, 2, 3], 1.0), ([1, 2, 3], 0.5)].map(|(shape, scale): (_, f32)| {
                let n = shape.iter().product::<usize>();
                let values: Vec<_> = (0..n).map(|i| scale * (i as f32 + 1.0)).collect();
                Tensor::from_slice(&values, shape, device).unwrap()
            });
            let [da, db] = seeds;
            tape.backward_from(&[(&a, da), (&b, db)]).unwrap();
            let gradient = params.gradient("embedding.weight").unwrap();
            Sgd::new(0.1).step(&params).unwrap();
            let after = params.gradient("embedding.weight").unwrap();
            assert!(after.iter().all(|&g| g == 0.0), "{device}");
            (gradient, params.get("embedding.weight").unwrap())
        };
        for set in [false, true] {
            let (sparse, dense) = (run(true, set), run(false, set));
            close(&format!("the gradient on {device}"), &sparse.0, &dense.0, 1e-6);
            close(&format!("the weights on {device}"), &sparse.1, &dense.1, 1e-6);
            assert!(dense.0.iter().any(|&g| g != 0.0));
        }
    }
}

#[test]
fn tokens_that_are_none_are_named_with_their_place() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Embedding::new(10, 2).build(&params).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3, 4, 10, 5], [2, 3], device).unwrap();
        for tape in [Tape::new(&params), Tape::inference(&params)] {
            let y = layer.forward(&tape, &Var::from(ids.clone()));
            let right = Error::Token { sequence: 1, place: 1, tokens: 10 };
            assert!(y.is_err_and(|error| error == right), "{device}");
        }
        for (bad, name) in [(-1.0, "-1"), (10.0, "10"), (1.5, "1.5"), (f32::NAN, "NaN")] {
            let ids = Tensor::from_slice(&[0.0, 9.0, bad, 1.0], [2, 2, 1], device).unwrap();
            let y = layer.forward(&Tape::new(&params), &Var::from(ids));
            let right = Error::Token { sequence: 1, place: 0, tokens: 10 };
            assert!(y.is_err_and(|error| error == right), "{name} on {device}");
        }
        // What lies behind a row's end may be anything, and nothing flows to it.
        let lengths = Lengths::new(&[3, 1], device).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3, 4, u32::MAX, 0], [2, 3], device).unwrap();
        let tape = Tape::new(&params);
        let x = Var::from(ids).with_lengths(Some(lengths));
        let y = layer.forward(&tape, &x).unwrap();
        let ones = Tensor::from_slice(&[1.0; 12], [2, 3, 2], device).unwrap();
        tape.backward_from(&[(&y, ones)]).unwrap();
        let gradient = params.gradient("embedding.weight").unwrap();
        let rows: Vec<_> = gradient.chunks(2).map(|row| row[0]).collect();
        assert_eq!(rows, [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], "{device}");
    }
    let x = Sequences::from_tokens([vec![1, 2], vec![3, 10]]).unwrap();
    let mut model = Sequential::new(&devices()[0]).add(Embedding::new(10, 2)).add(Lstm::new(2));
    model.build(1).unwrap();
    let right = Error::Token { sequence: 1, place: 1, tokens: 10 };
    assert!(model.predict(&x).is_err_and(|error| error == right));
}

#[test]
fn stateful_layers_take_batches_that_divide_and_validation_leaves_their_state() {
    let model = |device: &Device| {
        let mut model =
            Sequential::new(device).seed(1).add(Lstm::new(3).stateful()).add(Dense::new(1));
        model.compile(Sgd::new(0.0), Loss::MeanSquaredError, &[]);
        model
    };
    let targets = |n: usize| Targets::values((0..n).map(|i| i as f32 * 0.1).collect::<Vec<_>>(), 1);
    for device in devices() {
        let mut a = model(device);
        let before = |model: &Sequential| model.params().get("dense.weight").ok();
        let error =
            a.fit(&sequences(75, 4, 2), &targets(75), quiet().batch_size(10).shuffle(false));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Option { option: "Fit::batch_size", .. }), "{error}");
        assert_eq!(before(&a), None, "nothing was built");

        let (x, y) = (sequences(50, 4, 2), targets(50));
        a.fit(&x, &y, quiet().batch_size(10).shuffle(false)).unwrap();
        let error = a.predict(&x).unwrap_err();
        let option = "Sequential::predict_batches";
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
        let error = a.evaluate(&x, &y).unwrap_err();
        let option = "Sequential::evaluate_batches";
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
        let error = a.predict_batches(&x, 5).unwrap_err();
        assert!(matches!(error, Error::State { expected: 10, found: 5, .. }), "{error}");
        assert_eq!(a.predict_batches(&x, 10).unwrap().rows(), 50);

        // With a rate of 0 an evaluation from the beginning is what the training saw.
        let (x, y) = (sequences(20, 4, 2), targets(20));
        let mut b = model(device);
        let fit = quiet().batch_size(5).shuffle(false);
        let trained = b.fit(&x, &y, fit.clone()).unwrap().epochs[0].training.loss;
        b.reset_state();
        let found = b.evaluate_batches(&x, &y, 5).unwrap().loss;
        assert!((trained - found).abs() < 1e-6, "{trained}, then {found} on {device}");

        // Validation goes its own way, and what is trained after it does not know of it.
        let losses = |validation: bool| {
            let mut model = model(device);
            let (x2, y2) = (sequences(10, 4, 2), targets(10));
            let fit = fit.clone().epochs(3);
            let fit = if validation { fit.validation_data(&x2, &y2) } else { fit };
            let history = model.fit(&x, &y, fit).unwrap();
            history.epochs.iter().map(|e| e.training.loss).collect::<Vec<_>>()
        };
        assert_eq!(losses(true), losses(false), "{device}");
    }
}

/// What reaches the caller before and after is the caller's own mode: numbers below 1.2e-38 are kept.
#[test]
fn the_callers_subnormals_stay() {
    let half = || std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
    assert!(half() > 0.0);
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let lstm = Lstm::new(8).build(&params, 2).unwrap();
    let tape = Tape::new(&params);
    let x = Var::from(Tensor::zeros([4, 6, 2], &device).unwrap());
    let y = lstm.forward(&tape, &x).unwrap();
    assert!(half() > 0.0, "after a forward pass");
    let d = Tensor::zeros(y.shape(), &device).unwrap();
    tape.backward_from(&[(&y, d)]).unwrap();
    assert!(half() > 0.0, "after a backward pass");
    Adam::new(0.1).step(&params).unwrap();
    let mut stepper = lstm.stepper(&params, 1).unwrap();
    let stream = stepper.join().unwrap();
    stepper.step(&[(stream, &[0.0, 0.0])]).unwrap();
    assert!(half() > 0.0, "after a step");
    assert!(
        lstm.forward(&Tape::new(&params), &Tensor::zeros([4, 6, 3], &device).unwrap().into())
            .is_err()
    );
    assert!(half() > 0.0, "after an error");
}

/// Forward, backward and a step over shapes that take all the device's ways.
fn bits(device: &Device) -> Vec<u32> {
    let params = Params::seeded(device, 2);
    let lstm = Lstm::new(33).num_layers(2).build(&params, 20).unwrap();
    let dense = Dense::new(70).build(&params, 33).unwrap();
    let mut all = Vec::new();
    for rows in [1, 37] {
        let x: Vec<_> = (0..rows * 90 * 20).map(|i| (i as f32 * 0.13).sin()).collect();
        let x = Var::from(Tensor::from_slice(&x, [rows, 90, 20], device).unwrap());
        let tape = Tape::new(&params);
        let y = dense.forward(&tape, &lstm.forward(&tape, &x).unwrap()).unwrap();
        let zeros = Tensor::zeros(y.shape(), device).unwrap();
        let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
        tape.backward(&loss).unwrap();
        for name in params.names() {
            all.extend(params.gradient(&name).unwrap().iter().map(|v| v.to_bits()));
        }
        Adam::new(1e-2).step(&params).unwrap();
        all.extend(y.tensor().to_vec().unwrap().iter().map(|v| v.to_bits()));
    }
    all
}

#[test]
fn a_pool_of_the_programs_changes_no_bits() {
    for threads in [1, 2, 5] {
        let device = Device::cpu_with_threads(threads).unwrap();
        let plain = bits(&device);
        assert_eq!(plain, bits(&device), "{threads} threads");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(plain, pool.install(|| bits(&device)), "{threads} threads, in a pool");
    }
    let none = Device::cpu_with_threads(0);
    assert!(matches!(none, Err(Error::Option { option: "Device::cpu_with_threads", .. })));
}

/// A job that keeps rayon's pool busy holds nobody up.
#[test]
fn the_programs_own_pool_may_be_busy() {
    let release = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let threads = rayon::current_num_threads();
    for _ in 0..threads {
        let (release, begun) = (release.clone(), begun.clone());
        rayon::spawn(move || {
            begun.fetch_add(1, Ordering::Relaxed);
            let free = release.0.lock().unwrap();
            let _ = release.1.wait_timeout_while(free, Duration::from_secs(120), |free| !*free);
        });
    }
    let began = Instant::now();
    while begun.load(Ordering::Relaxed) < threads && began.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    let found = bits(&Device::cpu_with_threads(3).unwrap());
    // The pool is as busy as ever: nothing of it was needed.
    assert!(!*release.0.lock().unwrap() && !found.is_empty());
    *release.0.lock().unwrap() = true;
    release.1.notify_all();
}

#[test]
fn an_infinite_input_has_the_gradient_of_a_closed_gate() {
    for device in devices() {
        let params = Params::new(device);
        let lstm = Lstm::new(3).no_bias().build(&params, 1).unwrap();
        params.set("lstm.weight_ih_l0", &[1.0; 12]).unwrap();
        params.set("lstm.weight_hh_l0", &[0.0; 36]).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::from_slice(&[f32::INFINITY, 0.5], [2, 1, 1], device).unwrap());
        let y = lstm.forward(&tape, &x).unwrap();
        let ones = Tensor::from_slice(&[1.0; 6], [2, 3], device).unwrap();
        let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
        let d_x = gradients.get(&x).unwrap().to_vec().unwrap();
        assert!(d_x[0] == 0.0 && d_x[1] > 0.0, "{d_x:?} on {device}");
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn what_a_clip_holds_has_no_gradient_in_mixed_precision_either() {
    let device = gpu(GpuOptions::default());
    lacks("f16", device.adapter().is_some_and(|adapter| adapter.half_precision));
    for (clip, recompute) in [(0.3, false), (0.7, false), (0.1, false), (0.3, true)] {
        let run = |precision: Precision| {
            let params = Params::seeded(&device, 8);
            params.set_precision(precision);
            let lstm = Lstm::new(16).clip(clip).return_sequences();
            let lstm = if recompute { lstm.recompute() } else { lstm }.build(&params, 8).unwrap();
            // Numbers that 16 bits hold, and their products as well: then no rounding puts a sum on the
            // other side of the clip.
            let of = |n: usize, steps: f32| -> Vec<f32> {
                (0..n).map(|i| (8.0 * (i as f32 * 0.37).sin()).round() / steps).collect()
            };
            params.set("lstm.weight_ih_l0", &of(64 * 8, 16.0)).unwrap();
            params.set("lstm.weight_hh_l0", &of(64 * 16, 32.0)).unwrap();
            let x = of(4 * 12 * 8, 4.0);
            let x = Var::from(Tensor::from_slice(&x, [4, 12, 8], &device).unwrap());
            let tape = Tape::new(&params);
            let y = lstm.forward(&tape, &x).unwrap();
            let zeros = Tensor::zeros(y.shape(), &device).unwrap();
            let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
            tape.backward(&loss).unwrap();
            params.gradient("lstm.weight_ih_l0").unwrap()
        };
        // Gates that are computed anew come from sums that are rounded before they are clipped: a few of
        // the 3,072 lie on the other side.
        let bound = if recompute { 3e-2 } else { 2e-3 };
        let what = format!("clip {clip}, recompute {recompute} on {device}");
        close(&what, &run(Precision::Mixed), &run(Precision::Full), bound);
    }
}

#[test]
fn parameters_that_change_before_the_backward_pass_are_an_error() {
    for device in devices() {
        let params = Params::new(device);
        let dense = Dense::new(1).build(&params, 2).unwrap();
        let x = Var::from(Tensor::from_slice(&[1.0, 2.0], [1, 2], device).unwrap());
        let y = Tensor::zeros([1, 1], device).unwrap();
        let forward = || {
            let tape = Tape::new(&params);
            let out = dense.forward(&tape, &x).unwrap();
            let loss = mean_squared_error(&tape, &out, &y, None).unwrap();
            (tape, loss)
        };
        let (tape, loss) = forward();
        let (first, of_first) = forward();
        first.backward(&of_first).unwrap();
        Sgd::new(0.1).step(&params).unwrap();
        assert!(matches!(tape.backward(&loss), Err(Error::Stale { .. })), "{device}");
        let (tape, loss) = forward();
        params.set("dense.bias", &[1.0]).unwrap();
        assert!(matches!(tape.backward(&loss), Err(Error::Stale { .. })), "{device}");
        let (tape, loss) = forward();
        tape.backward(&loss).unwrap();
    }
}

/// A loop that never reads anything nor submits: its work goes to the device all the same, and its
/// memory stays bounded.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn work_is_submitted_by_its_amount() {
    let device = gpu(GpuOptions::default());
    let params = Params::new(&device);
    let lstm = Lstm::new(16).build(&params, 40).unwrap();
    let mut adam = Adam::new(1e-3);
    let step = &mut || {
        let x = Tensor::from_slice(&[0.5; 32 * 20 * 40], [32, 20, 40], &device).unwrap();
        let tape = Tape::new(&params);
        let y = lstm.forward(&tape, &Var::from(x)).unwrap();
        let zeros = Tensor::zeros(y.shape(), &device).unwrap();
        let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
        tape.backward(&loss).unwrap();
        adam.step(&params).unwrap();
    };
    (0..200).for_each(|_| step());
    assert!(device.counters().submissions > 4, "{:?}", device.counters());
    let memory = device.memory();
    assert!(memory.peak < 100 << 20, "{memory:?}");
}

#[test]
fn several_threads_predict_with_one_model() {
    fn shared<T: Send + Sync>() {}
    shared::<Sequential>();
    shared::<Params>();
    shared::<Device>();
    shared::<Tensor>();
    shared::<Var>();
    shared::<Sequences>();
    shared::<Targets>();
    shared::<Lengths>();
    shared::<wgpu_lstm::Mask>();
    shared::<Adam>();
    shared::<Sgd>();
    shared::<Lstm>();
    shared::<Error>();
    shared::<wgpu_lstm::train::Prediction>();
    shared::<wgpu_lstm::nn::Seq2Seq>();
    shared::<wgpu_lstm::nn::LstmStepper>();
    shared::<wgpu_lstm::nn::Attention>();
    shared::<wgpu_lstm::nn::LstmState>();
    shared::<wgpu_lstm::loss::Labels>();
    shared::<wgpu_lstm::loss::RowWeights>();
    fn sent<T: Send>() {}
    sent::<Tape>();
    sent::<wgpu_lstm::Gradients>();
    let x = sequences(10, 5, 2);
    for device in devices() {
        let mut model = Sequential::new(device).add(Lstm::new(6)).add(Dense::new(2));
        model.build(2).unwrap();
        let model = Arc::new(model);
        let right = model.predict(&x).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(model.predict(&x).unwrap(), right));
            }
        });
    }
}

/// A model takes sequences of different lengths without their padding, and says what its layers say of
/// padded ones; its gradients are theirs, too.
#[test]
fn sequences_without_padding_are_as_with_it() {
    let rows: Vec<Vec<u32>> =
        [5, 1, 7, 3].iter().map(|&n| (0..n).map(|t| (t * 5 + n) % 11).collect()).collect();
    let tokens = Sequences::from_tokens(&rows).unwrap();
    let frames = Sequences::new(
        2,
        rows.iter().map(|r| {
            r.iter().flat_map(|&t| [t as f32 * 0.1, 1.0 - t as f32 * 0.2]).collect::<Vec<_>>()
        }),
    )
    .unwrap();
    let y = [0.1, -0.2, 0.3, 0.4];
    for device in devices() {
        for (x, embeds) in [(&tokens, true), (&frames, false)] {
            let params = Params::seeded(device, 6);
            let table = Embedding::new(11, 2).build(&params).unwrap();
            let lstm = Lstm::new(9).bidirectional(wgpu_lstm::nn::Merge::Sum).num_layers(2);
            let lstm = lstm.build(&params, 2).unwrap();
            let dense = Dense::new(1).build(&params, 9).unwrap();

            let (values, shape, lengths) = x.pad();
            let tape = Tape::new(&params);
            let lengths = Lengths::new(&lengths, device).unwrap();
            let input = Tensor::from_slice(&values, shape, device).unwrap();
            let input = Var::from(input).with_lengths(Some(lengths));
            let input = if embeds { table.forward(&tape, &input).unwrap() } else { input };
            let out = dense.forward(&tape, &lstm.forward(&tape, &input).unwrap()).unwrap();
            let right = out.tensor().to_vec().unwrap();
            let targets = Tensor::from_slice(&y, [4, 1], device).unwrap();
            let loss = mean_squared_error(&tape, &out, &targets, None).unwrap();
            tape.backward(&loss).unwrap();
            Sgd::new(0.5).step(&params).unwrap();
            let weights: Vec<_> = params.names().iter().map(|n| params.get(n).unwrap()).collect();

            let model = Sequential::new(device).seed(6);
            let table = Embedding::new(11, 2).build(model.params()).unwrap();
            let mut model = if embeds { model.add(table) } else { model };
            model = model.add(Lstm::new(9).bidirectional(wgpu_lstm::nn::Merge::Sum).num_layers(2));
            let mut model = model.add(Dense::new(1));
            model.compile(Sgd::new(0.5), Loss::MeanSquaredError, &[]);
            model.build(x.features()).unwrap();
            assert_eq!(model.predict(x).unwrap().values(), right, "{embeds} on {device}");
            model.fit(x, &Targets::values(y, 1), quiet().shuffle(false)).unwrap();
            for (name, weights) in params.names().iter().zip(&weights) {
                let what = format!("{name}, embedded {embeds}, on {device}");
                close(&what, &model.params().get(name).unwrap(), weights, 1e-5);
            }
        }
    }
}

/// One long sequence among short ones takes the memory of their frames, not of as many long ones.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn one_long_sequence_does_not_make_all_of_them_long() {
    let rows = (0..32).map(|i| vec![0.1; 80 * if i == 7 { 20_000 } else { 100 }]);
    let x = Sequences::new(80, rows).unwrap();
    for device in [Device::cpu_with_threads(2).unwrap(), gpu(GpuOptions::default())] {
        let mut model = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(1));
        model.build(80).unwrap();
        assert!(model.predict(&x).unwrap().values().iter().all(|v| v.is_finite()));
        let peak = device.memory().peak;
        assert!(peak < 40 << 20, "{peak} bytes on {device}, for 7.4 MB of frames");
    }
}

/// A table that lies by itself, before layers whose parameters do not, in a loop of one's own.
#[test]
fn a_sparse_table_and_other_layers_train_in_a_loop_of_ones_own() {
    for device in devices() {
        let params = Params::new(device);
        let table = Embedding::new(20, 3).sparse().build(&params).unwrap();
        let dense = Dense::new(1).build(&params, 3).unwrap();
        let mut adam = Adam::new(0.1);
        let y = Tensor::from_slice(&[1.0, -1.0], [2, 1], device).unwrap();
        let mut losses = Vec::new();
        for _ in 0..30 {
            let tape = Tape::new(&params);
            let x = table.lookup(&tape, &[4, 17], [2, 1]).unwrap();
            let x = Pool::new(Pooling::Last).forward(&tape, &x).unwrap();
            let out = dense.forward(&tape, &x).unwrap();
            let loss = mean_squared_error(&tape, &out, &y, None).unwrap();
            losses.push(loss.tensor().to_vec().unwrap()[0]);
            tape.backward(&loss).unwrap();
            adam.step(&params).unwrap();
        }
        assert!(losses[29] < 0.1 * losses[0], "{losses:?} on {device}");
    }
}

/// Lengths that do not belong to a value of two axes lead to no read past its end.
#[test]
fn lengths_of_other_frames_are_an_error() {
    for device in devices() {
        let params = Params::new(device);
        let lengths = Lengths::new(&[5, 2, 1, 1], device).unwrap();
        let x = Tensor::zeros([4, 3], device).unwrap();
        let x = Var::from(x).with_lengths(Some(lengths));
        let lstm = Lstm::new(2).build(&params, 3).unwrap();
        let tape = Tape::inference(&params);
        assert!(matches!(lstm.forward(&tape, &x), Err(Error::Shape { .. })), "{device}");
        let mut model = Sequential::new(device).add(Dense::new(2));
        model.build(3).unwrap();
        let tape = Tape::inference(model.params());
        assert!(matches!(model.forward(&tape, &x), Err(Error::Shape { .. })), "{device}");
        let table = Embedding::new(5, 2).build(&params).unwrap();
        let ids = Tensor::from_u32(&[1, 2, 3], [3], device).unwrap();
        let two = Lengths::new(&[3, 2], device).unwrap();
        let ids = Var::from(ids).with_lengths(Some(two));
        let tape = Tape::inference(&params);
        assert!(matches!(table.forward(&tape, &ids), Err(Error::Shape { .. })), "{device}");
    }
}

/// What is pooled behind a sigmoid are probabilities, which a cross-entropy does not take for logits.
#[test]
fn probabilities_before_the_last_layer_are_no_logits() {
    let (x, y) = (sequences(6, 3, 2), Targets::values([1.0; 6], 1));
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Dense::new(1).activation(Activation::Sigmoid))
            .add(Pool::new(Pooling::Mean));
        model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
        assert!(matches!(model.fit(&x, &y, quiet()), Err(Error::Loss { .. })), "{device}");
        model.build(2).unwrap();
        let said = model.predict(&x).unwrap();
        let classes: Vec<_> = said.values().iter().map(|&p| usize::from(p > 0.5)).collect();
        assert_eq!(said.classes(), classes, "{device}");
    }
}

/// Uploads that no kernel uses take no more memory each time.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn uploads_alone_are_given_back() {
    let device = gpu(GpuOptions::default());
    let values = vec![0.5; 1 << 20];
    for _ in 0..100 {
        Tensor::from_slice(&values, [values.len()], &device).unwrap();
    }
    let memory = device.memory();
    assert!(memory.peak < 100 << 20, "{memory:?}");
}

/// Clones of a layer that is not built yet are layers of their own.
#[test]
fn templates_share_no_state() {
    let device = &devices()[0];
    let template = Lstm::new(3).stateful();
    let model = || {
        let mut model = Sequential::new(device).add(template.clone());
        model.build(2).unwrap();
        model
    };
    let (a, b) = (model(), model());
    let x = sequences(4, 3, 2);
    let first = a.predict(&x).unwrap();
    assert_eq!(b.predict(&x).unwrap(), first);
    assert_ne!(a.predict(&x).unwrap(), first);
}

#[test]
fn a_softmax_over_one_unit_is_refused() {
    let layer = Dense::new(1).activation(Activation::Softmax);
    let built = layer.build(&Params::new(&devices()[0]), 3);
    assert!(matches!(built, Err(Error::Option { option: "Dense::units", .. })));
}
