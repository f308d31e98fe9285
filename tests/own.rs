//! What users bring of their own: layers with parameters, ops, losses, optimizers.

mod common;
#[path = "../examples/own_layer.rs"]
#[allow(dead_code, reason = "only a layer of it is used here")]
mod own_layer;

use common::{close, devices};
use own_layer::{Residual, Swish, own_layers};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Embedding, Lstm, Params, Precision, add, multiply};
use wgpu_lstm::train::{Adam, Fit, Loss, Optimizer, Sgd};
use wgpu_lstm::{Device, Error, Lengths, Result, Sequential, Tape, Tensor, Var, loss};

fn tensor(values: &[f32], shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_slice(values, shape, device).unwrap()
}

/// An op of elements, by its value and its slope.
fn elementwise(
    tape: &Tape,
    x: &Var,
    value: impl Fn(f32) -> f32,
    slope: impl Fn(f32) -> f32 + Send + 'static,
) -> Result<Var> {
    let values = x.tensor().to_vec()?;
    let y: Vec<f32> = values.iter().map(|&v| value(v)).collect();
    let y = Tensor::from_slice(&y, x.shape(), &x.tensor().device())?;
    let [y] = tape.custom([y], [x], move |[d_y]| {
        let pairs = values.iter().zip(d_y.to_vec()?);
        let d_x: Vec<f32> = pairs.map(|(&v, d)| slope(v) * d).collect();
        Ok([Tensor::from_slice(&d_x, d_y.shape(), &d_y.device())?])
    });
    Ok(y.with_lengths(x.lengths().cloned()))
}

#[test]
fn an_op_of_ones_own_is_differentiated() {
    for device in devices() {
        let params = Params::new(device);
        let tape = Tape::new(&params);
        let x = tape.input(tensor(&[1.0, -2.0, 3.0], &[3, 1], device));
        let y = elementwise(&tape, &x, |v| v * v * v, |v| 3.0 * v * v).unwrap();
        assert_eq!(y.tensor().to_vec().unwrap(), [1.0, -8.0, 27.0]);
        let seed = tensor(&[1.0, 2.0, 0.5], &[3, 1], device);
        let gradients = tape.backward_from(&[(&y, seed)]).unwrap();
        assert_eq!(gradients.get(&x).unwrap().to_vec().unwrap(), [3.0, 24.0, 13.5], "{device}");
        // On a tape that records nothing it is a constant.
        let tape = Tape::inference(&params);
        let y = elementwise(&tape, &x, |v| v, |_| panic!("no gradient is wanted")).unwrap();
        assert_eq!(y.shape(), [3, 1]);
    }
}

/// An output that nothing came to has a gradient of zeros; an input may be one twice.
#[test]
fn an_op_may_have_more_than_one_output_and_input() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let [a, b] = [[1.0, 2.0], [3.0, 4.0]].map(|v| tape.input(tensor(&v, &[2], device)));
        let outputs = [tensor(&[0.0; 2], &[2], device), tensor(&[0.0; 3], &[3], device)];
        let [y, _unused] = tape.custom(outputs, [&a, &b, &a], |[d_y, d_unused]| {
            assert_eq!(d_unused.to_vec()?, [0.0; 3]);
            Ok([d_y.clone(), d_y.clone(), d_y])
        });
        let gradients = tape.backward_from(&[(&y, tensor(&[5.0, 6.0], &[2], device))]).unwrap();
        assert_eq!(gradients.get(&a).unwrap().to_vec().unwrap(), [10.0, 12.0], "{device}");
        assert_eq!(gradients.get(&b).unwrap().to_vec().unwrap(), [5.0, 6.0], "{device}");
    }
}

#[test]
fn a_gradient_of_ones_own_is_like_its_input() {
    let other = &Device::cpu_with_threads(1).unwrap();
    for device in devices() {
        let of = |gradient: Tensor| {
            let tape = Tape::new(&Params::new(device));
            let x = tape.input(tensor(&[1.0, 2.0], &[2], device));
            let y = tensor(&[3.0], &[1], device);
            let [y] = tape.custom([y], [&x], move |[_]| Ok([gradient]));
            tape.backward(&y).map(|_| ()).unwrap_err()
        };
        let error = of(tensor(&[1.0], &[1], device));
        assert!(matches!(error, Error::Shape { op: "Tape::custom", .. }), "{error}");
        let error = of(Tensor::from_u32(&[1, 1], [2], device).unwrap());
        assert!(matches!(error, Error::DType { op: "Tape::custom", .. }), "{error}");
        let error = of(tensor(&[1.0, 1.0], &[2], other));
        assert!(matches!(error, Error::OtherDevice { op: "Tape::custom", .. }), "{error}");
        // And an error of its own comes through.
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[1.0], &[1], device));
        let y = tensor(&[3.0], &[1], device);
        let [y] = tape.custom([y], [&x], |[_]| Err(Error::custom("no slope here")));
        let error = tape.backward(&y).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no slope here");
    }
}

/// An op's output may lie on another device than its input, whose gradient is its own device's.
#[test]
fn a_gradient_lies_where_its_input_does() {
    let [here, there] = [1, 2].map(|threads| Device::cpu_with_threads(threads).unwrap());
    for (to, right) in [(&here, true), (&there, false)] {
        let tape = Tape::new(&Params::new(&here));
        let x = tape.input(tensor(&[1.0, 2.0], &[2], &here));
        let device = to.clone();
        let [y] = tape.custom([tensor(&[3.0], &[1], &there)], [&x], move |[d_y]| {
            let d = d_y.to_vec()?[0];
            Ok([Tensor::from_slice(&[d, 2.0 * d], [2], &device)?])
        });
        match tape.backward(&y) {
            Ok(gradients) if right => {
                assert_eq!(gradients.get(&x).unwrap().to_vec().unwrap(), [1.0, 2.0]);
            }
            Err(Error::OtherDevice { op: "Tape::custom", arg: "gradient", .. }) => assert!(!right),
            other => panic!("{:?}", other.err()),
        }
    }
}

/// What an op of one's own does to the parameters while gradients flow is noticed.
#[test]
fn parameters_that_an_op_changes_are_an_error() {
    for device in devices() {
        let params = Params::new(device);
        let factor = params.insert("scale.factor", [1], &[2.0]).unwrap();
        let tape = Tape::new(&params);
        let value = tape.param(factor).unwrap();
        let own = params.clone();
        let [y] = tape.custom([tensor(&[2.0], &[1], device)], [&value], move |[d_y]| {
            own.set("scale.factor", &[3.0])?;
            Ok([d_y])
        });
        let error = tape.backward(&y).err();
        assert!(matches!(error, Some(Error::Stale { what: "parameters", .. })), "{error:?}");
    }
}

#[test]
fn sums_and_products_of_values() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let [a, b] = [[1.0, 2.0, 3.0, 4.0], [5.0, -6.0, 7.0, 0.5]]
            .map(|v| tape.input(tensor(&v, &[1, 2, 2], device)));
        let a_short = a.clone().with_lengths(Some(Lengths::new(&[2], device).unwrap()));
        let sum = add(&tape, &a_short, &b).unwrap();
        assert!(sum.lengths().is_some());
        assert_eq!(sum.tensor().to_vec().unwrap(), [6.0, -4.0, 10.0, 4.5], "{device}");
        let product = multiply(&tape, &sum, &a).unwrap();
        assert_eq!(product.tensor().to_vec().unwrap(), [6.0, -8.0, 30.0, 18.0], "{device}");
        // (a + b) a, of which the slopes are 2 a + b and a.
        let ones = tensor(&[1.0; 4], &[1, 2, 2], device);
        let gradients = tape.backward_from(&[(&product, ones)]).unwrap();
        let of = |x: &Var| gradients.get(x).unwrap().to_vec().unwrap();
        assert_eq!(of(&a), [7.0, -2.0, 13.0, 8.5], "{device}");
        assert_eq!(of(&b), [1.0, 2.0, 3.0, 4.0], "{device}");

        let tape = Tape::new(&Params::new(device));
        let other = Var::from(tensor(&[1.0; 3], &[1, 3], device));
        assert!(matches!(add(&tape, &a, &other), Err(Error::Shape { op: "add", .. })));
        assert!(matches!(multiply(&tape, &a, &other), Err(Error::Shape { op: "multiply", .. })));
        let none = Var::from(Tensor::zeros([0, 2], device).unwrap());
        assert!(matches!(add(&tape, &none, &none), Err(Error::Empty { .. })));
        let numbers = Var::from(Tensor::from_u32(&[1], [1], device).unwrap());
        assert!(matches!(multiply(&tape, &numbers, &numbers), Err(Error::DType { .. })));
    }
}

/// A bias and a scale for each feature: values and gradients by finite differences, of 1 row and of many.
#[test]
fn sums_and_products_with_a_value_for_each_feature() {
    for device in devices() {
        for shape in [&[1, 1][..], &[7, 3], &[2, 3, 5], &[300, 17]] {
            let (len, size) = (shape.iter().product(), *shape.last().unwrap());
            let numbers = |n, seed: f32| (0..n).map(|i| (i as f32 * 0.37 + seed).sin()).collect();
            let (a, d_y): (Vec<f32>, Vec<f32>) = (numbers(len, 0.1), numbers(len, 2.0));
            let (scale, bias): (Vec<f32>, Vec<f32>) = (numbers(size, 0.5), numbers(size, 1.0));
            let tape = Tape::new(&Params::new(device));
            let input = |values: &[f32], shape: &[usize]| tape.input(tensor(values, shape, device));
            let vars = [input(&a, shape), input(&scale, &[size]), input(&bias, &[size])];
            let y = multiply(&tape, &vars[0], &vars[1]).unwrap();
            let y = add(&tape, &y, &vars[2]).unwrap();
            assert_eq!(y.shape(), shape);
            let of = |[a, scale, bias]: &[Vec<f64>; 3]| -> Vec<f64> {
                a.iter().enumerate().map(|(i, a)| a * scale[i % size] + bias[i % size]).collect()
            };
            let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let inputs = [wide(&a), wide(&scale), wide(&bias)];
            let narrow = |values: Vec<f64>| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
            let what = format!("{shape:?} {device}");
            close(&what, &y.tensor().to_vec().unwrap(), &narrow(of(&inputs)), 1e-6);
            let gradients = tape.backward_from(&[(&y, tensor(&d_y, shape, device))]).unwrap();
            let sum = |inputs: &[Vec<f64>; 3]| -> f64 {
                of(inputs).iter().zip(&d_y).map(|(y, &d)| y * f64::from(d)).sum()
            };
            for (at, var) in vars.iter().enumerate() {
                let slope = |i: usize| {
                    let moved = |by: f64| {
                        let mut inputs = inputs.clone();
                        inputs[at][i] += by;
                        sum(&inputs)
                    };
                    (moved(1e-4) - moved(-1e-4)) / 2e-4
                };
                let found = gradients.get(var).unwrap().to_vec().unwrap();
                let some: Vec<_> = (0..found.len()).step_by(1 + found.len() / 40).collect();
                let slopes = narrow(some.iter().map(|&i| slope(i)).collect());
                let found: Vec<_> = some.iter().map(|&i| found[i]).collect();
                close(&format!("{what}, input {at}"), &found, &slopes, 1e-5);
            }
        }
        // What stands in the padding comes to no gradient.
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[1.0, 2.0, f32::NAN, f32::NAN], &[1, 2, 2], device));
        let x = x.with_lengths(Some(Lengths::new(&[1], device).unwrap()));
        let scale = tape.input(tensor(&[3.0, 4.0], &[2], device));
        let y = multiply(&tape, &x, &scale).unwrap();
        assert!(y.lengths().is_some());
        let d_y = tensor(&[1.0, 1.0, 0.0, 0.0], &[1, 2, 2], device);
        let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
        assert_eq!(gradients.get(&scale).unwrap().to_vec().unwrap(), [1.0, 2.0], "{device}");
        // Only the second, and only one value for each feature.
        let tape = Tape::new(&Params::new(device));
        let error = add(&tape, &scale, &y).err().unwrap();
        assert!(error.to_string().contains("one value for each feature"), "{error}");
        let one = Var::from(tensor(&[1.0], &[1], device));
        assert!(matches!(add(&tape, &y, &one), Err(Error::Shape { op: "add", arg: "b", .. })));
    }
}

#[test]
fn the_examples_layers_come_back_from_a_file() {
    let folder = common::Folder::new("own-layers");
    std::fs::create_dir_all(folder.path()).unwrap();
    let (device, path) = (&devices()[0], folder.path().join("m.safetensors"));
    let mut model = Sequential::new(device)
        .add(Residual(Box::new(Lstm::new(3).return_sequences())))
        .add(Swish::default())
        .add(Dense::new(2));
    model.build(3).unwrap();
    model.params().set("swish.b", &[0.3]).unwrap();
    model.save(&path).unwrap();
    let loaded = Sequential::load_with(&path, device, &own_layers()).unwrap();
    let x = Sequences::from_array(&[0.1, -0.5, 0.7, 1.0, 2.0, -3.0], [1, 2, 3]).unwrap();
    let of = |model: &Sequential| model.predict(&x).unwrap().values().to_vec();
    assert_eq!(of(&loaded), of(&model));
    assert_eq!(loaded.params().names(), model.params().names());
}

#[test]
fn a_layer_of_ones_own_learns_its_parameter() {
    let rows: Vec<Vec<f32>> = (0..12).map(|i| vec![(i as f32 * 0.7).sin(); 2 + i % 3]).collect();
    let x = Sequences::new(1, &rows).unwrap();
    let y = Targets::values((0..12).map(|i| 0.5 - (i as f32 * 0.7).sin()).collect::<Vec<_>>(), 1);
    let mut trained = Vec::new();
    for device in devices() {
        let mut model = Sequential::new(device)
            .seed(2)
            .add(Lstm::new(4).return_sequences())
            .add(Swish::default())
            .add(Lstm::new(4))
            .add(Swish::default())
            .add(Dense::new(1));
        model.compile(Adam::new(1e-2), Loss::MeanSquaredError, &[]);
        let history = model.fit(&x, &y, Fit::new().epochs(20).batch_size(4).quiet()).unwrap();
        let of = |i: usize| history.epochs[i].training.loss;
        assert!(of(19) < of(0), "{} to {} on {device}", of(0), of(19));
        let params = model.params();
        assert_eq!(params.shape("swish.b").unwrap(), [1]);
        assert!(params.names().contains(&"swish_1.b".to_owned()), "{:?}", params.names());
        assert_ne!(params.get("swish.b").unwrap(), [1.0], "{device}");
        trained.push(params.get("swish.b").unwrap()[0]);
        assert_eq!(params.parameter_count(), 96 + 144 + 5 + 2);
        assert!(model.summary().contains("swish"), "{}", model.summary());
    }
    assert!(trained.iter().all(|b| (b - trained[0]).abs() < 2e-2), "{trained:?}");
}

#[test]
fn parameters_of_ones_own_are_checked() {
    let device = &devices()[0];
    let params = Params::new(device);
    let id = params.insert("gate.bias", [2], &[0.5, 1.5]).unwrap();
    assert_eq!(params.get("gate.bias").unwrap(), [0.5, 1.5]);
    let short = params.insert("gate.weight", [2, 2], &[1.0]);
    assert!(matches!(short, Err(Error::Count { expected: 4, found: 1, .. })));
    let none = params.insert("gate.weight", [0, 2], &[]);
    assert!(matches!(none, Err(Error::Empty { .. })));
    for name in ["gate.bias", ""] {
        let twice = params.insert(name, [1], &[1.0]);
        assert!(matches!(twice, Err(Error::Option { option: "Params::name", .. })), "{name}");
    }
    assert_eq!(params.free_prefix("gate"), "gate_1");
    let others = Params::new(device);
    assert!(params.owns(id) && !others.owns(id));
    let foreign = Tape::new(&others).param(id);
    assert!(matches!(foreign, Err(Error::NotBuilt { .. })));
}

/// log cosh, the mean of it: like the square near 0, and like the size far away.
fn log_cosh(tape: &Tape, prediction: &Var, targets: &[f32]) -> Result<Var> {
    let errors: Vec<f32> =
        prediction.tensor().to_vec()?.iter().zip(targets).map(|(x, y)| x - y).collect();
    let n = errors.len() as f32;
    let mean = errors.iter().map(|e| e.cosh().ln()).sum::<f32>() / n;
    let loss = Tensor::from_slice(&[mean], [1], &prediction.tensor().device())?;
    let shape = prediction.shape().to_vec();
    let [loss] = tape.custom([loss], [prediction], move |[d_loss]| {
        let d = d_loss.to_vec()?[0];
        let d_x: Vec<f32> = errors.iter().map(|e| d * e.tanh() / n).collect();
        Ok([Tensor::from_slice(&d_x, shape, &d_loss.device())?])
    });
    Ok(loss)
}

#[test]
fn a_loss_of_ones_own_is_made_small() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let layer = Dense::new(1).build(&params, 2).unwrap();
        let x = Var::from(tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[3, 2], device));
        let mut sgd = Sgd::new(0.5);
        let mut losses = Vec::new();
        for _ in 0..60 {
            let tape = Tape::new(&params);
            let y = layer.forward(&tape, &x).unwrap();
            let loss = log_cosh(&tape, &y, &[1.0, 2.0, 3.0]).unwrap();
            losses.push(loss.tensor().to_vec().unwrap()[0]);
            tape.backward(&loss).unwrap();
            sgd.step(&params).unwrap();
        }
        assert!(losses[59] < 0.05 * losses[0], "{} to {} on {device}", losses[0], losses[59]);
    }
}

/// Several losses, each with a weight, are one pass back.
#[test]
fn losses_are_weighted_by_their_gradients() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let layer = Dense::new(1).build(&params, 2).unwrap();
        let x = Var::from(tensor(&[1.0, 0.5], &[1, 2], device));
        let y = tensor(&[3.0], &[1, 1], device);
        let gradient = |weights: [f32; 2]| {
            params.zero_gradients().unwrap();
            let tape = Tape::new(&params);
            let output = layer.forward(&tape, &x).unwrap();
            let square = loss::mean_squared_error(&tape, &output, &y, None).unwrap();
            let size = loss::mean_absolute_error(&tape, &output, &y, None).unwrap();
            let [a, b] = weights.map(|weight| tensor(&[weight], &[1], device));
            tape.backward_from(&[(&square, a), (&size, b)]).unwrap();
            params.gradient("dense.weight").unwrap()
        };
        let (a, b, both) = (gradient([1.0, 0.0]), gradient([0.0, 1.0]), gradient([0.5, 2.0]));
        let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 0.5 * a + 2.0 * b).collect();
        close(&format!("weighted losses on {device}"), &both, &sum, 1e-5);
    }
}

/// Gradient descent, once more.
struct Plain(f32);

impl Optimizer for Plain {
    fn step(&mut self, params: &Params) -> Result<()> {
        params.update(|_, values, gradient| {
            values.iter_mut().zip(gradient).for_each(|(p, g)| *p -= self.0 * g);
        })?;
        Ok(())
    }
}

/// The crate's, with a rate that falls at each step.
struct Falling(Sgd);

impl Optimizer for Falling {
    fn step(&mut self, params: &Params) -> Result<()> {
        let rate = self.0.learning_rate();
        self.0.set_learning_rate(0.9 * rate);
        self.0.step(params)
    }
}

#[test]
fn an_optimizer_of_ones_own_moves_what_the_crates_own_moves() {
    let x = Sequences::from_tokens([vec![1, 2, 3], vec![4, 1], vec![2, 0, 5], vec![3, 3]]).unwrap();
    let y = Targets::values([0.0, 1.0, 1.0, 0.0], 1);
    for device in devices() {
        for sparse in [false, true] {
            let run = |optimizer: Box<dyn Optimizer>| {
                struct Boxed(Box<dyn Optimizer>);
                impl Optimizer for Boxed {
                    fn step(&mut self, params: &Params) -> Result<()> {
                        self.0.step(params)
                    }
                }
                let table = Embedding::new(6, 3);
                let mut model = Sequential::new(device)
                    .seed(4)
                    .add(if sparse { table.sparse() } else { table })
                    .add(Lstm::new(4).kernel_max_norm(0.3))
                    .add(Dense::new(1).activation(Activation::Sigmoid));
                model.compile(Boxed(optimizer), Loss::BinaryCrossEntropy, &[]);
                model.fit(&x, &y, Fit::new().epochs(3).batch_size(2).quiet()).unwrap();
                let params = model.params();
                let values =
                    params.names().iter().map(|n| params.get(n).unwrap()).collect::<Vec<_>>();
                assert!(params.gradient("dense.bias").unwrap().iter().all(|g| *g == 0.0));
                values.concat()
            };
            let own = run(Box::new(Plain(0.1)));
            let crates = run(Box::new(Sgd::new(0.1)));
            close(&format!("sparse {sparse} on {device}"), &own, &crates, 1e-5);
            let falling = run(Box::new(Falling(Sgd::new(0.1))));
            assert_ne!(falling, crates, "{device}");
        }
    }
}

/// In mixed precision a step whose gradients overflow is left out, and the loss scale falls.
#[test]
fn an_optimizer_of_ones_own_leaves_out_what_overflows() {
    for device in devices() {
        let params = Params::seeded(device, 1);
        let mixed = params.set_precision(Precision::Mixed) == Precision::Mixed;
        let layer = Dense::new(1).build(&params, 1).unwrap();
        let step = |target: f32| {
            let tape = Tape::new(&params);
            let x = Var::from(tensor(&[1.0], &[1, 1], device));
            let y = tensor(&[target], &[1, 1], device);
            let output = layer.forward(&tape, &x).unwrap();
            let loss = loss::mean_squared_error(&tape, &output, &y, None).unwrap();
            tape.backward(&loss).unwrap();
            let before = params.get("dense.weight").unwrap();
            let made = params.update(|_, values, gradient| {
                values.iter_mut().zip(gradient).for_each(|(p, g)| *p -= 0.1 * g);
            });
            (made.unwrap(), before != params.get("dense.weight").unwrap())
        };
        assert_eq!(step(1.0), (true, true), "{device}");
        if mixed {
            let scale = params.loss_scale().unwrap();
            assert_eq!(step(1e35), (false, false), "{device}");
            assert_eq!(params.loss_scale().unwrap(), scale / 2.0, "{device}");
            assert_eq!(step(2.0), (true, true), "{device}");
        }
    }
    let nothing = Params::new(&devices()[0]).update(|_, _, _| ());
    assert!(matches!(nothing, Err(Error::NotBuilt { .. })));
}
