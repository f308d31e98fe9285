//! What lengths and masks leave out: it is not read, and has no gradient.

use super::gradient;
use crate::common::{close, devices, tensor, value};
use wgpu_lstm::loss;
use wgpu_lstm::nn::{
    Activation, Attention, Dense, Dropout, Layer, LayerNorm, Lstm, Merge, Params, Pool, Pooling,
    Repeat, Rnn, concat,
};
use wgpu_lstm::{Error, Lengths, Mask, Tape, Var};

type Forward = Box<dyn Fn(&Tape, &Var) -> Var>;

/// Whatever stands where nothing counts reaches no gradient, whatever gradient the outputs there get.
#[test]
fn what_does_not_count_may_be_nan() {
    let nan = f32::NAN;
    for device in devices() {
        for by_mask in [false, true] {
            let steps = |x: Var| match by_mask {
                false => x.with_lengths(Some(Lengths::new(&[2, 1], device).unwrap())),
                true => {
                    let mask = [true, true, false, true, false, false];
                    x.with_mask(Some(Mask::new(&mask, [2, 3], device).unwrap()))
                }
            };
            let values = |pad: f32| [0.3, -0.6, pad, 0.9, pad, pad];
            let all = |params: &Params, of: &dyn Fn(&Tape, &Var) -> Var, pad: f32| {
                let tape = Tape::new(params);
                let input = tape.input(tensor(&values(pad), [2, 3, 1], device));
                let y = of(&tape, &steps(input.clone()));
                let seed: Vec<f32> = (0..y.tensor().len()).map(|i| 1.0 + i as f32).collect();
                let seed = tensor(&seed, y.shape(), device);
                let gradients = tape.backward_from(&[(&y, seed)]).unwrap();
                let d_x = gradient(&gradients, &input);
                assert_eq!([d_x[2], d_x[4], d_x[5]], [0.0; 3], "{device}");
                d_x
            };
            let run = |build: &dyn Fn(&Params) -> Forward| {
                let found = [0.0, nan].map(|pad| {
                    let params = Params::seeded(device, 3);
                    let of = build(&params);
                    let mut found = all(&params, &*of, pad);
                    for name in params.names() {
                        found.extend(params.gradient(&name).unwrap());
                    }
                    found
                });
                assert_eq!(found[0], found[1], "by mask {by_mask} on {device}");
            };
            if !by_mask {
                // Behind a mask they compute on what is there.
                run(&|params| {
                    let layer = Dense::new(2).build(params, 1).unwrap();
                    Box::new(move |tape, x| layer.forward(tape, x).unwrap())
                });
                run(&|params| {
                    let layer = LayerNorm::new().build(params, 1).unwrap();
                    Box::new(move |tape, x| layer.forward(tape, x).unwrap())
                });
            }
            run(&|params| {
                // As query, keys and values at once.
                let layer = Attention::additive(3).build(params, 1, 1).unwrap();
                Box::new(move |tape, x| layer.forward(tape, x, x).unwrap().context)
            });
        }
    }
}

/// The gradient by central differences, of a function that is computed in f32.
fn differences(f: &dyn Fn(&[f32]) -> f64, x: &[f32]) -> Vec<f32> {
    const STEP: f32 = 1.0 / 128.0;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            let [above, below] = [middle + STEP, middle - STEP].map(|value| {
                x[i] = value;
                f(&x)
            });
            x[i] = middle;
            ((above - below) / f64::from(2.0 * STEP)) as f32
        })
        .collect()
}

/// Targets for so many numbers.
fn targets(len: usize) -> Vec<f32> {
    (0..len).map(|i| (0.7 * i as f32).cos()).collect()
}

/// The mean squared error, summed in f64: a loss without weights counts what is left out, too.
fn squared_error(y: &[f32]) -> f64 {
    let square = |(y, t): (&f32, f32)| (f64::from(*y) - f64::from(t)).powi(2);
    y.iter().zip(targets(y.len())).map(square).sum::<f64>() / y.len() as f64
}

fn squared_error_on(tape: &Tape, y: &Var) -> Var {
    let device = y.tensor().device();
    let y_hat = tensor(&targets(y.tensor().len()), y.shape(), &device);
    loss::mean_squared_error(tape, y, &y_hat, None).unwrap()
}

/// A layer of three features, and whether it reads the steps that lengths leave out, and those that
/// a mask does; neither: it takes none.
type Case = (&'static str, [Option<bool>; 2], fn(&Params) -> Forward);

fn cases() -> [Case; 20] {
    const NOTHING: [Option<bool>; 2] = [Some(false), Some(false)];
    const LEFT_OUT: [Option<bool>; 2] = [Some(false), Some(true)];
    const ALL: [Option<bool>; 2] = [Some(true), Some(true)];
    /// A constant `[B,T,C]`.
    fn constant(params: &Params, shape: [usize; 3]) -> Var {
        let len: usize = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|i| (0.9 * i as f32 + 2.0).sin()).collect();
        tensor(&values, shape, &params.device()).into()
    }
    fn of(layer: impl Layer + 'static) -> Forward {
        Box::new(move |tape, x| layer.forward(tape, x).unwrap())
    }
    fn pool(pooling: Pooling) -> Forward {
        of(Pool::new(pooling))
    }
    [
        ("Dense", LEFT_OUT, |p| {
            of(Dense::new(2).activation(Activation::Tanh).build(p, 3).unwrap())
        }),
        ("two Dense", LEFT_OUT, |p| {
            let first = Dense::new(4).activation(Activation::Sigmoid).build(p, 3).unwrap();
            let second = Dense::new(2).build(p, 4).unwrap();
            Box::new(move |tape, x| second.forward(tape, &first.forward(tape, x).unwrap()).unwrap())
        }),
        ("LayerNorm", LEFT_OUT, |p| of(LayerNorm::new().build(p, 3).unwrap())),
        ("the query of an additive Attention", NOTHING, |p| {
            let layer = Attention::additive(4).build(p, 3, 2).unwrap();
            let keys = constant(p, [2, 4, 2]);
            Box::new(move |tape, x| layer.forward(tape, x, &keys).unwrap().context)
        }),
        ("the query of a general Attention", NOTHING, |p| {
            let layer = Attention::general().build(p, 3, 2).unwrap();
            let keys = constant(p, [2, 4, 2]);
            Box::new(move |tape, x| layer.forward(tape, x, &keys).unwrap().context)
        }),
        ("the keys of an additive Attention", NOTHING, |p| {
            let layer = Attention::additive(4).build(p, 2, 3).unwrap();
            let query = constant(p, [2, 4, 2]);
            Box::new(move |tape, x| layer.forward(tape, &query, x).unwrap().context)
        }),
        ("the values of an Attention", NOTHING, |p| {
            let layer = Attention::general().build(p, 2, 2).unwrap();
            let (query, keys) = (constant(p, [2, 4, 2]), constant(p, [2, 3, 2]));
            Box::new(move |tape, x| {
                let keys = keys.clone().with_lengths(x.lengths().cloned());
                let keys = keys.with_mask(x.mask().cloned());
                layer.forward_values(tape, &query, &keys, x).unwrap().context
            })
        }),
        ("an Attention to itself", NOTHING, |p| {
            let layer = Attention::dot().build(p, 3, 3).unwrap();
            Box::new(move |tape, x| layer.forward(tape, x, x).unwrap().context)
        }),
        ("a mean", NOTHING, |_| pool(Pooling::Mean)),
        ("a maximum", NOTHING, |_| pool(Pooling::Max)),
        ("the last frame", NOTHING, |_| pool(Pooling::Last)),
        ("a repeated frame", NOTHING, |_| {
            Box::new(|tape, x| {
                let frame = Pool::new(Pooling::Last).forward(tape, x).unwrap();
                Repeat::new(2).forward(tape, &frame).unwrap()
            })
        }),
        ("what is joined", ALL, |_| {
            Box::new(|tape, x| {
                let other = Activation::Tanh.forward(tape, x).unwrap();
                concat(tape, &[x.clone(), other]).unwrap()
            })
        }),
        ("a softmax", ALL, |_| Box::new(|tape, x| Activation::Softmax.forward(tape, x).unwrap())),
        // With a rate of 0, since dice fall anew for each tape.
        ("Dropout", ALL, |_| of(Dropout::new(0.0))),
        ("Lstm", NOTHING, |p| of(Lstm::new(2).return_sequences().build(p, 3).unwrap())),
        ("Lstm both ways", NOTHING, |p| {
            let layer = Lstm::new(2).bidirectional(Merge::Sum).return_sequences();
            of(layer.build(p, 3).unwrap())
        }),
        ("a normalised Lstm", NOTHING, |p| {
            of(Lstm::new(4).layer_norm().return_sequences().build(p, 3).unwrap())
        }),
        ("Rnn", NOTHING, |p| of(Rnn::new(2).return_sequences().build(p, 3).unwrap())),
        ("Rnn both ways", NOTHING, |p| {
            let layer = Rnn::new(2).num_layers(2).bidirectional(Merge::Product).no_bias();
            of(layer.return_sequences().build(p, 3).unwrap())
        }),
    ]
}

/// Of a loss that counts every output: the gradient is that of the loss as it is computed, and where
/// the loss does not depend on an input it is 0, to the last bit.
#[test]
fn gradients_reach_what_is_read_and_nothing_else() {
    let x: Vec<f32> = (0..18).map(|i| (1.3 * i as f32 + 0.4).sin()).collect();
    for device in devices() {
        let left_out =
            [[false, false, true, false, true, true], [false, true, false, false, false, true]];
        for (by_mask, left_out) in [false, true].into_iter().zip(left_out) {
            let lengths = Lengths::new(&[2, 1], device).unwrap();
            let mask = Mask::new(&left_out.map(|out| !out), [2, 3], device).unwrap();
            let with_steps = |x: Var| match by_mask {
                false => x.with_lengths(Some(lengths.clone())),
                true => x.with_mask(Some(mask.clone())),
            };
            for (name, reads, build) in cases() {
                let Some(reads) = reads[usize::from(by_mask)] else { continue };
                let what = format!("{name}, by mask {by_mask}, on {device}");
                let params = Params::seeded(device, 5);
                let layer = build(&params);
                let outputs = |x: &[f32]| {
                    let x = with_steps(tensor(x, [2, 3, 3], device).into());
                    value(&layer(&Tape::inference(&params), &x))
                };
                let tape = Tape::new(&params);
                let input = tape.input(tensor(&x, [2, 3, 3], device));
                let y = layer(&tape, &with_steps(input.clone()));
                let loss = squared_error_on(&tape, &y);
                close(&what, &value(&loss), &[squared_error(&value(&y)) as f32], 1e-5);
                let d_x = gradient(&tape.backward(&loss).unwrap(), &input);
                let expected = differences(&|x| squared_error(&outputs(x)), &x);
                close(&what, &d_x, &expected, 1e-2);
                if reads {
                    continue;
                }
                let mut poisoned = x.clone();
                for (frame, _) in left_out.iter().enumerate().filter(|(_, out)| **out) {
                    assert_eq!(d_x[3 * frame..][..3], [0.0; 3], "{what}, frame {frame}");
                    poisoned[3 * frame..][..3].fill(f32::NAN);
                }
                assert_eq!(outputs(&poisoned), outputs(&x), "{what}");
            }
        }
    }
}

/// An LSTM, a normalisation and a head, of which the loss counts every step.
#[test]
fn a_model_behind_a_mask_has_the_gradients_of_its_loss() {
    let x: Vec<f32> = (0..12).map(|i| 2.0 * (1.1 * i as f32 + 0.3).sin()).collect();
    for device in devices() {
        for by_mask in [false, true] {
            let params = Params::new(device);
            let lstm = Lstm::new(3).return_sequences().build(&params, 2).unwrap();
            let norm = LayerNorm::new().build(&params, 3).unwrap();
            let head = Dense::new(1).build(&params, 3).unwrap();
            for name in ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_l0", "dense.weight"] {
                let len = params.get(name).unwrap().len();
                let values: Vec<f32> = (0..len).map(|i| (1.7 * i as f32 + 0.8).sin()).collect();
                params.set(name, &values).unwrap();
            }
            let input = Var::from(tensor(&x, [2, 3, 2], device));
            let input = match by_mask {
                false => input.with_lengths(Some(Lengths::new(&[3, 2], device).unwrap())),
                true => {
                    let mask = [true, false, true, true, true, false];
                    input.with_mask(Some(Mask::new(&mask, [2, 3], device).unwrap()))
                }
            };
            let run = |tape: &Tape| {
                let h = lstm.forward(tape, &input).unwrap();
                head.forward(tape, &norm.forward(tape, &h).unwrap()).unwrap()
            };
            let tape = Tape::new(&params);
            let loss = squared_error_on(&tape, &run(&tape));
            tape.backward(&loss).unwrap();
            for name in [
                "lstm.bias_l0",
                "layer_norm.weight",
                "layer_norm.bias",
                "dense.weight",
                "dense.bias",
            ] {
                let what = format!("{name}, by mask {by_mask}, on {device}");
                let found = params.gradient(name).unwrap();
                let values = params.get(name).unwrap();
                let loss = |values: &[f32]| {
                    params.set(name, values).unwrap();
                    squared_error(&value(&run(&Tape::inference(&params))))
                };
                let expected = differences(&loss, &values);
                params.set(name, &values).unwrap();
                close(&what, &found, &expected, 2e-2);
            }
        }
    }
}

/// As Keras has it: what an LSTM repeats at a step that a mask leaves out, the layers behind it see. Of
/// lengths they see zeros.
#[test]
fn layers_of_each_step_compute_on_what_a_mask_leaves_out() {
    for device in devices() {
        let params = Params::new(device);
        let lstm = Lstm::new(2).return_sequences().build(&params, 1).unwrap();
        let dense = Dense::new(1).build(&params, 2).unwrap();
        let norm = LayerNorm::new().build(&params, 2).unwrap();
        params.set("lstm.weight_ih_l0", &[0.5, 0.3, 0.5, 0.4, 0.6, 0.9, 0.5, 0.2]).unwrap();
        params.set("dense.weight", &[1.0, 1.0]).unwrap();
        params.set("dense.bias", &[10.0]).unwrap();
        params.set("layer_norm.bias", &[0.5, -0.5]).unwrap();
        let mask = Mask::new(&[true, false, true], [1, 3], device).unwrap();
        let masked = |values: &[f32], features: usize| {
            Var::from(tensor(values, [1, 3, features], device)).with_mask(Some(mask.clone()))
        };
        let tape = Tape::inference(&params);
        let h = lstm.forward(&tape, &masked(&[0.2, f32::NAN, 1.0], 1)).unwrap();
        let said = value(&h);
        assert_eq!(said[2..4], said[..2], "{device}");
        assert!(said[0] > 1e-2 && said[4] > 2.0 * said[0], "{said:?} on {device}");
        let expected: Vec<_> = said.chunks(2).map(|h| h[0] + h[1] + 10.0).collect();
        let y = value(&dense.forward(&tape, &h).unwrap());
        close(&format!("Dense on {device}"), &y, &expected, 1e-6);
        assert!(y[1] > 10.01, "{y:?} on {device}");
        let all = Var::from(h.tensor().clone());
        let normal = value(&norm.forward(&tape, &h).unwrap());
        assert_eq!(normal, value(&norm.forward(&tape, &all).unwrap()), "{device}");
        assert_ne!(normal[2..4], [0.5, -0.5], "{device}");

        let nan = masked(&[1.0, 2.0, f32::NAN, f32::NAN, 3.0, 4.0], 2);
        let y = value(&dense.forward(&tape, &nan).unwrap());
        assert!(y[0] == 13.0 && y[1].is_nan() && y[2] == 17.0, "{y:?} on {device}");
        let lengths = Lengths::new(&[1], device).unwrap();
        let padded = tensor(&[1.0, 2.0, f32::NAN, f32::NAN, 3.0, 4.0], [1, 3, 2], device);
        let padded = Var::from(padded).with_lengths(Some(lengths));
        let y = value(&dense.forward(&tape, &padded).unwrap());
        assert_eq!(y, [13.0, 10.0, 10.0], "{device}");
        let normal = value(&norm.forward(&tape, &padded).unwrap());
        assert_eq!(normal[2..], [0.5, -0.5, 0.5, -0.5], "{device}");

        let mask = Mask::new(&[true, false, true], [3, 1], device).unwrap();
        let wrong = all.with_mask(Some(mask));
        for error in [dense.forward(&tape, &wrong), norm.forward(&tape, &wrong)] {
            assert!(matches!(error, Err(Error::Shape { arg: "mask", .. })), "{device}");
        }
    }
}
