//! The layers around the LSTM, and the losses, against what PyTorch computed.

mod attention_maps;
mod awd;
#[path = "../common/mod.rs"]
mod common;
mod convolutions;
mod crf;
mod ctc;
mod ctc_decode;
mod ctc_fit;
mod embedding;
mod empty_rows;
mod first_values;
mod frozen;
mod graphs;
mod highway;
mod inspect;
mod likelihoods;
mod long_rows;
mod losses;
mod masked_frames;
mod masked_lstm;
mod masks;
mod quantized;
mod rnn;
mod steps;
mod targets;
mod tied;

use common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::loss::{self, CrossEntropy, Labels};
use wgpu_lstm::nn::{Attention, LayerNorm, Params, Pool, Pooling, Repeat, concat};
use wgpu_lstm::{Device, Error, Gradients, Lengths, Mask, Tape, Tensor, Var};

fn gradient(gradients: &Gradients, x: &Var) -> Vec<f32> {
    gradients.get(x).unwrap().to_vec().unwrap()
}

#[test]
fn layer_normalisation() {
    let v = Vectors::load("layer_norm");
    for device in devices() {
        let params = Params::new(device);
        let layer = LayerNorm::new().build(&params, 7).unwrap();
        params.set("layer_norm.weight", &v.get("weight")).unwrap();
        params.set("layer_norm.bias", &v.get("bias")).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(v.tensor("x", [3, 4, 7], device));
        let y = layer.forward(&tape, &x).unwrap();
        let what = format!("layer norm on {device}");
        close(&what, &value(&y), &v.get("y"), 1e-5);
        let seeds = [(&y, v.tensor("d_y", [3, 4, 7], device))];
        let gradients = tape.backward_from(&seeds).unwrap();
        close(&what, &gradient(&gradients, &x), &v.get("d_x"), 1e-4);
        for p in ["weight", "bias"] {
            let found = params.gradient(&format!("layer_norm.{p}")).unwrap();
            close(&what, &found, &v.get(&format!("d_{p}")), 1e-4);
        }
        assert!(LayerNorm::new().epsilon(0.0).build(&params, 3).is_err());
        let bad = tape_error(&params, |tape, x| layer.forward(tape, x), &[2, 6], device);
        assert!(matches!(bad, Error::Shape { .. }), "{bad}");
    }
}

fn tape_error(
    params: &Params,
    run: impl Fn(&Tape, &Var) -> wgpu_lstm::Result<Var>,
    shape: &[usize],
    device: &Device,
) -> Error {
    let x = Var::from(Tensor::zeros(shape, device).unwrap());
    run(&Tape::inference(params), &x).unwrap_err()
}

/// Rows of 3, 1 and 2 steps, by lengths; with a hole and a row without any, by a mask.
#[test]
fn pools_obey_lengths_and_masks() {
    let x = [1.0, -1.0, 5.0, -5.0, 3.0, -3.0];
    let x = [x, [2.0, 7.0, 9.0, 9.0, 9.0, 9.0], [4.0, 1.0, 2.0, 3.0, 9.0, 9.0]].concat();
    let whole = [(Pooling::Mean, 3.0), (Pooling::Max, 5.0), (Pooling::Last, 3.0)];
    for device in devices() {
        let params = Params::new(device);
        let lengths = Lengths::new(&[3, 1, 2], device).unwrap();
        let mask = [true, false, true, false, false, false, false, true, false];
        let mask = Mask::new(&mask, [3, 3], device).unwrap();
        for (pooling, first) in whole {
            let (y, d_x): (&[f32], &[f32]) = match pooling {
                Pooling::Mean => (
                    &[3.0, -3.0, 2.0, 7.0, 3.0, 2.0],
                    &[1., 2., 1., 2., 1., 2., 9., 12., 0., 0., 0., 0., 7.5, 9., 7.5, 9., 0., 0.],
                ),
                Pooling::Max => (
                    &[5.0, -1.0, 2.0, 7.0, 4.0, 3.0],
                    &[0., 6., 3., 0., 0., 0., 9., 12., 0., 0., 0., 0., 15., 0., 0., 18., 0., 0.],
                ),
                Pooling::Last => (
                    &[3.0, -3.0, 2.0, 7.0, 2.0, 3.0],
                    &[0., 0., 0., 0., 3., 6., 9., 12., 0., 0., 0., 0., 0., 0., 15., 18., 0., 0.],
                ),
                other => panic!("{other:?}"),
            };
            let layer = Pool::new(pooling);
            let what = format!("{pooling:?} on {device}");
            let tape = Tape::new(&params);
            let input = tape.input(tensor(&x, [3, 3, 2], device));
            assert_eq!(value(&layer.forward(&tape, &input).unwrap())[0], first, "{what}");
            let by_length = input.clone().with_lengths(Some(lengths.clone()));
            let found = layer.forward(&tape, &by_length).unwrap();
            close(&what, &value(&found), y, 1e-6);
            let seed = tensor(&[3.0, 6.0, 9.0, 12.0, 15.0, 18.0], [3, 2], device);
            let gradients = tape.backward_from(&[(&found, seed)]).unwrap();
            close(&what, &gradient(&gradients, &input), d_x, 1e-6);
            let tape = Tape::new(&params);
            let by_mask = input.clone().with_mask(Some(mask.clone()));
            let found = value(&layer.forward(&tape, &by_mask).unwrap());
            let first = match pooling {
                Pooling::Mean => [2.0, -2.0],
                Pooling::Max => [3.0, -1.0],
                Pooling::Last => [3.0, -3.0],
                other => panic!("{other:?}"),
            };
            close(&what, &found, &[&first[..], &[0.0, 0.0, 2.0, 3.0]].concat(), 1e-6);
        }
    }
}

#[test]
fn frames_repeat_and_join() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2], device));
        let y = Repeat::new(3).forward(&tape, &x).unwrap();
        assert_eq!(value(&y), [1., 2., 1., 2., 1., 2., 3., 4., 3., 4., 3., 4.]);
        let other = tape.input(tensor(&[5., 6., 7., 8., 9., 10.], [2, 3, 1], device));
        let all = concat(&tape, &[y.clone(), other.clone()]).unwrap();
        assert_eq!(value(&all)[..6], [1., 2., 5., 1., 2., 6.]);
        let bad = concat(&tape, &[y, x.clone()]).unwrap_err();
        assert!(matches!(bad, Error::Shape { .. }), "{bad}");
        let d: Vec<_> = (0..18).map(|i| i as f32).collect();
        let gradients = tape.backward_from(&[(&all, tensor(&d, [2, 3, 3], device))]).unwrap();
        assert_eq!(gradient(&gradients, &x), [9., 12., 36., 39.]);
        assert_eq!(gradient(&gradients, &other), [2., 5., 8., 11., 14., 17.]);
    }
}

#[test]
fn attention_of_every_kind() {
    // With the features of a query; of a key there are six.
    for (name, q, build) in [
        ("dot", 6, Attention::dot()),
        ("general", 4, Attention::general()),
        ("additive", 4, Attention::additive(7)),
    ] {
        let v = Vectors::load(&format!("layer_attention_{name}"));
        for device in devices() {
            let params = Params::new(device);
            let layer = build.clone().build(&params, q, 6).unwrap();
            for p in params.names() {
                let short = p.strip_prefix("attention.").unwrap();
                // PyTorch's `weight` of the general score goes from queries to keys.
                params.set(&p, &v.find(short).unwrap_or_else(|| v.get("weight"))).unwrap();
            }
            let what = |of: &str| format!("{of} of attention {name} on {device}");
            for by_mask in [false, true] {
                let tape = Tape::new(&params);
                if !params.names().is_empty() {
                    params.zero_gradients().unwrap();
                }
                let query = tape.input(v.tensor("query", [2, 3, q], device));
                let mut padded = v.get("keys");
                if !by_mask {
                    padded[(5 + 3) * 6..].fill(f32::NAN);
                }
                let keys = tape.input(tensor(&padded, [2, 5, 6], device));
                let values = tape.input(v.tensor("values", [2, 5, 3], device));
                let seen = match by_mask {
                    false => {
                        let lengths = Lengths::new(&[5, 3], device).unwrap();
                        keys.clone().with_lengths(Some(lengths))
                    }
                    true => {
                        let mask: Vec<_> = (0..10).map(|i| i < 8).collect();
                        keys.clone().with_mask(Some(Mask::new(&mask, [2, 5], device).unwrap()))
                    }
                };
                let found = layer.forward_values(&tape, &query, &seen, &values).unwrap();
                close(&what("context"), &value(&found.context), &v.get("context"), 1e-5);
                close(&what("weights"), &found.weights.to_vec().unwrap(), &v.get("weights"), 1e-5);
                let seeds = [(&found.context, v.tensor("d_context", [2, 3, 3], device))];
                let gradients = tape.backward_from(&seeds).unwrap();
                for (var, of) in [(&query, "d_query"), (&keys, "d_keys"), (&values, "d_values")] {
                    close(&what(of), &gradient(&gradients, var), &v.get(of), 1e-4);
                }
                for p in params.names() {
                    let short = p.strip_prefix("attention.").unwrap();
                    let expected =
                        v.find(&format!("d_{short}")).unwrap_or_else(|| v.get("d_weight"));
                    close(&what(short), &params.gradient(&p).unwrap(), &expected, 1e-4);
                }
            }
            // One query a row.
            let tape = Tape::inference(&params);
            let one = Var::from(Tensor::zeros([2, q], device).unwrap());
            let keys = Var::from(v.tensor("keys", [2, 5, 6], device));
            assert_eq!(layer.forward(&tape, &one, &keys).unwrap().context.shape(), [2, 6]);
            let wrong = Var::from(Tensor::zeros([3, q], device).unwrap());
            let error = layer.forward(&tape, &wrong, &keys).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{error}");
        }
    }
    let params = Params::new(&devices()[0]);
    let error = Attention::dot().build(&params, 3, 4);
    assert!(matches!(error, Err(Error::Option { option: "Attention::key_size", .. })));
    let error = Attention::additive(0).build(&params, 3, 4);
    assert!(matches!(error, Err(Error::Option { option: "Attention::units", .. })));
}

/// A NaN that counts is not hidden, on any device.
#[test]
fn a_nan_that_counts_stays() {
    for device in devices() {
        let params = Params::new(device);
        for values in [[1.0, f32::NAN, 2.0], [1.0, 2.0, f32::NAN], [f32::NAN, 1.0, 2.0]] {
            let tape = Tape::new(&params);
            let x = tape.input(tensor(&values, [1, 3, 1], device));
            let y = Pool::new(Pooling::Max).forward(&tape, &x).unwrap();
            assert!(value(&y)[0].is_nan(), "{values:?} on {device}");
            let softmax = wgpu_lstm::nn::Activation::Softmax;
            let row = Var::from(tensor(&values, [1, 3], device));
            let y = softmax.forward(&tape, &row).unwrap();
            assert!(value(&y).iter().all(|v| v.is_nan()), "{values:?} on {device}");
        }
        let y = Tensor::zeros([1, 1], device).unwrap();
        type Of<'a> = &'a dyn Fn(&Tape, &Var) -> Var;
        let of: [Of; 3] = [
            &|tape, x| loss::mean_absolute_error(tape, x, &y, None).unwrap(),
            &|tape, x| loss::quantile(tape, x, &y, 0.3, None).unwrap(),
            &|tape, x| loss::huber(tape, x, &y, 0.3, None).unwrap(),
        ];
        for of in of {
            let tape = Tape::new(&params);
            let x = tape.input(tensor(&[f32::NAN], [1, 1], device));
            let loss = of(&tape, &x);
            assert!(value(&loss)[0].is_nan(), "{device}");
            assert!(gradient(&tape.backward(&loss).unwrap(), &x)[0].is_nan(), "{device}");
        }
    }
}

#[test]
fn extreme_scores_and_weights() {
    for device in devices() {
        let params = Params::new(device);
        let tape = Tape::new(&params);
        let attention = Attention::dot().build(&params, 1, 1).unwrap();
        let query = Var::from(tensor(&[1e31], [1, 1], device));
        let keys = Var::from(tensor(&[-1.0, -2.0, -3.0], [1, 3, 1], device));
        let keys = keys.with_lengths(Some(Lengths::new(&[2], device).unwrap()));
        let found = attention.forward(&tape, &query, &keys).unwrap();
        assert_eq!(found.weights.to_vec().unwrap(), [1.0, 0.0, 0.0], "{device}");
        let x = tape.input(Tensor::zeros([2, 3], device).unwrap());
        let labels = Labels::new(&[0, 2], device).unwrap();
        for bad in [3e38, 1e-45] {
            let error = CrossEntropy::new().class_weights([bad; 3]).loss(&tape, &x, &labels, None);
            let option = "CrossEntropy::class_weights";
            assert!(
                matches!(&error, Err(Error::Option { option: found, .. }) if *found == option),
                "{bad} on {device}: {error:?}"
            );
            assert!(loss::RowWeights::new(&[bad; 2], device).is_err());
        }
        let elsewhere = &wgpu_lstm::testing::poisoned_cpu();
        let x = Var::from(Tensor::zeros([1, 2, 3], device).unwrap());
        let x = x.with_lengths(Some(Lengths::new(&[1], elsewhere).unwrap()));
        let layer = LayerNorm::new().build(&params, 3).unwrap();
        let error = layer.forward(&tape, &x).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { arg: "lengths", .. }), "{error}");
    }
}
