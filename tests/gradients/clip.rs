use crate::common::{Vectors, close, devices};
use crate::{data, gradients, model, numbers, weights};
use std::sync::{Arc, Mutex};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Embedding, Lstm, ParamId, Params};
use wgpu_lstm::train::{Callback, Clip, Fit, Loss, Optimizer, Run, Sgd};
use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Tensor};

const SHAPES: [&[usize]; 3] = [&[5, 7], &[5], &[3, 4, 2]];

/// Parameters of these shapes.
fn three(device: &Device) -> (Params, Vec<ParamId>) {
    let params = Params::new(device);
    let insert = |(i, shape): (usize, &&[usize])| {
        let values = numbers(shape.iter().product(), i as f32);
        params.insert(format!("p.{i}"), *shape, &values).unwrap()
    };
    let ids = SHAPES.iter().enumerate().map(insert).collect();
    (params, ids)
}

/// Gives each parameter its gradient.
fn set_gradients(params: &Params, ids: &[ParamId], values: &[Vec<f32>]) {
    params.zero_gradients().unwrap();
    let tape = Tape::new(params);
    let vars: Vec<_> = ids.iter().map(|&id| tape.param(id).unwrap()).collect();
    let device = params.device();
    let seeds = vars
        .iter()
        .zip(values)
        .map(|(var, values)| (var, Tensor::from_slice(values, var.shape(), &device).unwrap()));
    tape.backward_from(&seeds.collect::<Vec<_>>()).unwrap();
}

#[test]
fn as_pytorch_clips() {
    let vectors = Vectors::load("grads");
    let of = |kind: &str| (0..3).map(|i| vectors.get(&format!("{kind}_{i}"))).collect::<Vec<_>>();
    for device in devices() {
        let (params, ids) = three(device);
        for (kind, clip) in [
            ("value", Clip::Value(0.5)),
            ("norm", Clip::Norm(1.5)),
            ("global", Clip::GlobalNorm(1.5)),
            ("loose", Clip::GlobalNorm(100.0)),
        ] {
            set_gradients(&params, &ids, &of("gradient"));
            let total = f64::from(vectors.get("total")[0]);
            assert!((f64::from(params.gradient_norm().unwrap()) / total - 1.0).abs() < 1e-6);
            params.clip_gradients(clip).unwrap();
            for ((_, found), expected) in gradients(&params).iter().zip(of(kind)) {
                close(&format!("{kind} on {device}"), found, &expected, 2e-6);
            }
        }
    }
}

/// The formula of the paper, unit by unit, where a unit is an index of the first axis.
fn adaptive(shape: &[usize], w: &[f32], g: &[f32], limit: f32) -> Vec<f32> {
    let size = if shape.len() > 1 { w.len() / shape[0] } else { w.len() };
    let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let units = w.chunks(size).zip(g.chunks(size));
    let clipped = units.flat_map(|(w, g)| {
        let share = f64::from(limit) * norm(w).max(1e-3) / norm(g);
        g.iter().map(move |&g| (f64::from(g) * share.min(1.0)) as f32)
    });
    clipped.collect()
}

/// The gradients of a batch, by a layer with every layout of parameters.
fn of_a_batch(params: &Params, size: f32) -> Vec<(Vec<usize>, Vec<f32>)> {
    let device = params.device();
    let lstm = Lstm::new(7).peepholes().num_layers(2).projection(3);
    let lstm = lstm.build(params, 3).unwrap();
    let dense = Dense::new(2).build(params, 3).unwrap();
    let x = Tensor::from_slice(&numbers(5 * 4 * 3, 0.3), [5, 4, 3], &device).unwrap();
    let tape = Tape::new(params);
    let y = lstm.forward(&tape, &x.into()).unwrap();
    let y = dense.forward(&tape, &y).unwrap();
    let d_y: Vec<_> = numbers(10, 0.7).iter().map(|d| d * size).collect();
    let d_y = Tensor::from_slice(&d_y, y.shape(), &device).unwrap();
    tape.backward_from(&[(&y, d_y)]).unwrap();
    gradients(params)
}

fn norm_of<'a>(all: impl IntoIterator<Item = &'a Vec<f32>>) -> f64 {
    all.into_iter().flatten().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt()
}

/// Clips the gradients of a batch in each way, and compares with what the host makes of them.
fn every_layout(make: impl Fn() -> Params) {
    for clip in [Clip::Value(0.05), Clip::Norm(0.3), Clip::GlobalNorm(0.5), Clip::Adaptive(0.02)] {
        let params = make();
        let before = of_a_batch(&params, 1.0);
        let all = norm_of(before.iter().map(|(_, g)| g));
        let found = f64::from(params.gradient_norm().unwrap());
        assert!((found / all - 1.0).abs() < 1e-6, "{found} for {all}");
        params.clip_gradients(clip).unwrap();
        let what = format!("{clip:?} on {}, {:?}", params.device(), params.precision());
        let mut changed = false;
        let after = gradients(&params);
        let names = params.names();
        for (((shape, g), (_, found)), name) in before.iter().zip(&after).zip(&names) {
            let scaled = |limit: f32, norm: f64| {
                let share = (f64::from(limit) / norm).min(1.0);
                g.iter().map(|&g| (f64::from(g) * share) as f32).collect()
            };
            let expected: Vec<f32> = match clip {
                Clip::Value(limit) => g.iter().map(|g| g.clamp(-limit, limit)).collect(),
                Clip::Norm(limit) => scaled(limit, norm_of([g])),
                Clip::GlobalNorm(limit) => scaled(limit, all),
                Clip::Adaptive(limit) => adaptive(shape, &params.get(name).unwrap(), g, limit),
                _ => panic!("a Clip that this test does not know"),
            };
            close(&format!("{what}, {name}"), found, &expected, 2e-6);
            changed |= found != g;
        }
        assert!(changed, "{what}: nothing was above the limit");
    }
}

#[test]
fn every_layout_of_parameters() {
    for device in devices() {
        every_layout(|| Params::seeded(device, 9));
    }
}

#[cfg(feature = "gpu")]
mod mixed {
    use super::*;
    use crate::common::lacks;
    use wgpu_lstm::nn::Precision;
    use wgpu_lstm::train::Adam;

    fn mixed() -> Option<Params> {
        let device = &devices()[1];
        let params = Params::seeded(device, 9);
        let precision = params.set_precision(Precision::Mixed);
        let able = device.adapter().is_some_and(|a| a.half_precision);
        (!lacks("f16", able)).then(|| assert_eq!(precision, Precision::Mixed)).map(|()| params)
    }

    /// Limits are for gradients without the loss scale, which is 65,536 here.
    #[test]
    fn limits_know_the_loss_scale() {
        if mixed().is_some() {
            every_layout(|| mixed().unwrap());
        }
    }

    /// A gradient that is not finite leaves the step out, whichever way it was clipped.
    #[test]
    fn infinities_stay() {
        for clip in [Clip::Value(0.1), Clip::Norm(0.1), Clip::GlobalNorm(0.1), Clip::Adaptive(0.1)]
        {
            let Some(params) = mixed() else { return };
            of_a_batch(&params, 1e36);
            let before = weights(&params);
            assert!(!params.gradient_norm().unwrap().is_finite());
            params.clip_gradients(clip).unwrap();
            Adam::new(0.1).step(&params).unwrap();
            assert_eq!(weights(&params), before, "{clip:?}");
            assert_eq!(params.loss_scale().unwrap(), 32_768.0, "{clip:?}");
            // The next step is made.
            assert_eq!(params.gradient_norm().unwrap(), 0.0);
        }
    }
}

/// The limit of rows drawn is that of the whole table, whose other rows have no gradient; a table that is
/// used twice in a step has one gradient.
#[test]
fn sparse_tables() {
    for device in devices() {
        for clip in
            [Clip::Value(0.01), Clip::Norm(0.1), Clip::GlobalNorm(0.1), Clip::Adaptive(0.05)]
        {
            let train = |sparse: bool| {
                let params = Params::seeded(device, 5);
                let words = Embedding::new(50, 6);
                let words = if sparse { words.sparse() } else { words }.build(&params).unwrap();
                let lstm = Lstm::new(4).build(&params, 6).unwrap();
                let mut sgd = Sgd::new(0.5);
                for step in 0..3u32 {
                    let tape = Tape::new(&params);
                    let ids = [[7, 3, 49], [3, 3, step], [0, 20, 7 + step]];
                    let mut seeds = Vec::new();
                    for ids in ids {
                        let x = words.lookup(&tape, &ids, [1, 3]).unwrap();
                        let y = lstm.forward(&tape, &x).unwrap();
                        let d_y = Tensor::from_slice(&[30.0, -20.0, 10.0, 5.0], y.shape(), device);
                        seeds.push((y, d_y.unwrap()));
                    }
                    let seeds: Vec<_> = seeds.iter().map(|(y, d)| (y, d.clone())).collect();
                    tape.backward_from(&seeds).unwrap();
                    let norm = params.gradient_norm().unwrap();
                    params.clip_gradients(clip).unwrap();
                    assert!(params.gradient_norm().unwrap() < norm, "{clip:?}");
                    sgd.step(&params).unwrap();
                }
                weights(&params)
            };
            close(&format!("{clip:?} on {device}"), &train(true), &train(false), 2e-6);
        }
    }
}

/// Notes the norm of the gradients that it sees.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<f32>>>);

impl Callback for Seen {
    fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.0.lock().unwrap().push(run.params().gradient_norm()?);
        Ok(())
    }
}

/// Gradient descent that notes the same.
struct Noted(Sgd, Seen);

impl Optimizer for Noted {
    fn step(&mut self, params: &Params) -> Result<()> {
        self.1.0.lock().unwrap().push(params.gradient_norm()?);
        self.0.step(params)
    }
}

#[test]
fn a_training_clips_between_callbacks_and_optimizer() {
    let (x, y) = data(12);
    for device in devices() {
        let (outside, inside) = (Seen::default(), Seen::default());
        let mut model = model(device, Noted(Sgd::new(0.1), inside.clone()));
        let fit = Fit::new().batch_size(4).clip(Clip::GlobalNorm(1e-3)).callback(outside.clone());
        model.fit(&x, &y, fit.quiet()).unwrap();
        let (outside, inside) = (outside.0.lock().unwrap(), inside.0.lock().unwrap());
        assert_eq!((outside.len(), inside.len()), (3, 3));
        assert!(outside.iter().all(|&norm| norm > 0.01), "{outside:?}");
        assert!(inside.iter().all(|&norm| (norm / 1e-3 - 1.0).abs() < 1e-5), "{inside:?}");
    }
}

#[test]
fn a_limit_that_makes_no_sense() {
    let device = &devices()[0];
    let (params, _) = three(device);
    for limit in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        for clip in [Clip::Value, Clip::Norm, Clip::GlobalNorm, Clip::Adaptive] {
            let error = params.clip_gradients(clip(limit)).unwrap_err();
            assert!(matches!(error, Error::Option { option: "Clip", .. }), "{error}");
        }
    }
    let none = Params::new(device);
    assert!(matches!(none.clip_gradients(Clip::Norm(1.0)), Err(Error::NotBuilt { .. })));
    assert!(matches!(none.gradient_norm(), Err(Error::NotBuilt { .. })));
    // Before the first step, and before the model is built.
    let x = Sequences::from_array(&[0.0; 4], [2, 2, 1]).unwrap();
    let mut model = Sequential::new(device).add(Lstm::new(2)).add(Dense::new(1));
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    let fit = || Fit::new().quiet();
    let y = Targets::values([0.0; 2], 1);
    let error = model.fit(&x, &y, fit().clip(Clip::Value(0.0))).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Clip", .. }), "{error}");
    let error = model.fit(&x, &y, fit().accumulate(0)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Fit::accumulate", .. }), "{error}");
    assert_eq!(model.params().parameter_count(), 0);
}
