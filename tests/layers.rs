//! The layers around the LSTM, and the losses, against what PyTorch computed.

mod common;

use common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::loss::{self, CrossEntropy, Ctc, Labels};
use wgpu_lstm::nn::{
    Activation, Attention, Dense, Dropout, Embedding, Layer, LayerNorm, Lstm, Merge, Params, Pool,
    Pooling, Repeat, Rnn, concat,
};
use wgpu_lstm::{Device, Error, Gradients, Lengths, Mask, Tape, Tensor, Var};

fn gradient(gradients: &Gradients, x: &Var) -> Vec<f32> {
    gradients.get(x).unwrap().to_vec().unwrap()
}

#[test]
fn losses_between_numbers_and_classes() {
    let v = Vectors::load("layer_losses");
    let labels: Vec<_> = v.get("labels").iter().map(|&l| l as u32).collect();
    for device in devices() {
        let params = Params::new(device);
        let y = v.tensor("y", [6, 5], device);
        let labels = Labels::new(&labels, device).unwrap();
        type Of<'a> = &'a dyn Fn(&Tape, &Var) -> Var;
        let classes = |options: CrossEntropy| {
            let labels = &labels;
            move |tape: &Tape, x: &Var| options.loss(tape, x, labels, None).unwrap()
        };
        let weighted = CrossEntropy::new().class_weights(v.get("classes"));
        let all: [(&str, Of); 7] = [
            ("mae", &|tape, x| loss::mean_absolute_error(tape, x, &y, None).unwrap()),
            ("huber", &|tape, x| loss::huber(tape, x, &y, 0.7, None).unwrap()),
            ("quantile", &|tape, x| loss::quantile(tape, x, &y, 0.8, None).unwrap()),
            ("ignored", &classes(CrossEntropy::new().ignore_index(3))),
            ("smoothed", &classes(CrossEntropy::new().label_smoothing(0.1))),
            ("weighted", &classes(weighted.clone())),
            ("all", &classes(weighted.ignore_index(3).label_smoothing(0.2))),
        ];
        for (name, of) in all {
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("x", [6, 5], device));
            let loss = of(&tape, &x);
            let what = format!("{name} on {device}");
            close(&what, &value(&loss), &v.get(name), 1e-5);
            let found = gradient(&tape.backward(&loss).unwrap(), &x);
            close(&what, &found, &v.get(&format!("d_{name}")), 1e-4);
        }
    }
}

#[test]
fn rows_that_do_not_count() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[f32::NAN, 1.0, 2.0, f32::INFINITY], [2, 2], device));
        let labels = Labels::new(&[u32::MAX; 2], device).unwrap();
        let loss = CrossEntropy::new().ignore_index(u32::MAX).loss(&tape, &x, &labels, None);
        let loss = loss.unwrap();
        assert_eq!(value(&loss), [0.0]);
        assert_eq!(gradient(&tape.backward(&loss).unwrap(), &x), [0.0; 4]);
    }
}

#[test]
fn options_of_losses_that_make_no_sense() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([2, 3], device).unwrap());
        let y = Tensor::zeros([2, 3], device).unwrap();
        let labels = Labels::new(&[0, 2], device).unwrap();
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let huber = loss::huber(&tape, &x, &y, bad, None);
            assert!(matches!(huber, Err(Error::Option { option: "Huber::delta", .. })));
            let quantile = loss::quantile(&tape, &x, &y, bad, None);
            assert!(matches!(quantile, Err(Error::Option { option: "Quantile::quantile", .. })));
        }
        let of = |options: CrossEntropy| match options.loss(&tape, &x, &labels, None) {
            Err(Error::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        let smooth = CrossEntropy::new().label_smoothing(1.5);
        assert_eq!(of(smooth), "CrossEntropy::label_smoothing");
        for weights in [&[1.0; 2][..], &[1.0, -1.0, 1.0]] {
            let weighted = CrossEntropy::new().class_weights(weights);
            assert_eq!(of(weighted), "CrossEntropy::class_weights");
        }
        let labels = Labels::new(&[0, 3], device).unwrap();
        let error = CrossEntropy::new().ignore_index(7).loss(&tape, &x, &labels, None);
        assert!(matches!(error, Err(Error::Label { row: 1, found: 3, classes: 3 })));
    }
}

#[test]
fn labels_without_a_place_in_time() {
    let v = Vectors::load("layer_ctc");
    let labels: [&[u32]; 4] = [&[1, 2, 2], &[3], &[], &[4, 1, 3, 4]];
    let lengths = [9, 7, 4, 9];
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let mut x = v.get("x");
        // Padding may be anything.
        x[(9 + 7) * 5..(9 + 9) * 5].fill(f32::NAN);
        let x = tape.input(tensor(&x, [4, 9, 5], device));
        let logits = x.clone().with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
        let loss = loss::ctc(&tape, &logits, &labels).unwrap();
        close(&format!("ctc on {device}"), &value(&loss), &v.get("loss"), 1e-5);
        let found = gradient(&tape.backward(&loss).unwrap(), &x);
        close(&format!("ctc on {device}"), &found, &v.get("d_x"), 1e-4);
    }
}

#[test]
fn ctc_checks_its_labels_and_skips_what_cannot_be() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([2, 3, 3], device).unwrap());
        let of = |ctc: Ctc, labels: [&[u32]; 2]| ctc.loss(&tape, &x, &labels);
        assert!(matches!(of(Ctc::new(), [&[3], &[1]]), Err(Error::Label { row: 0, .. })));
        for ctc in [Ctc::new(), Ctc::new().blank(3)] {
            let error = of(ctc, [&[0], &[1]]);
            assert!(matches!(error, Err(Error::Option { option: "Ctc::blank", .. })), "{error:?}");
        }
        // Two equal labels need a blank between them: 4 frames for these three.
        let error = of(Ctc::new(), [&[1], &[1, 1, 2]]).unwrap_err();
        assert_eq!(error, Error::TooFewFrames { row: 1, expected: 4, found: 3 });
        let error = Ctc::new().loss(&tape, &x, &[[1u32]]);
        assert!(matches!(error, Err(Error::Count { expected: 2, found: 1, .. })));
        let both = value(&of(Ctc::new().zero_infinity(), [&[1], &[1, 1, 2]]).unwrap())[0];
        let one = value(&of(Ctc::new(), [&[1], &[]]).unwrap())[0];
        let nothing = value(&of(Ctc::new(), [&[], &[]]).unwrap())[0];
        assert!((both - (one - 0.5 * nothing)).abs() < 1e-5, "{both} {one} {nothing}");
        // The last class as the blank, and far more frames than one label wants.
        let x = tape.input(Tensor::zeros([1, 200, 3], device).unwrap());
        let loss = Ctc::new().blank(2).loss(&tape, &x, &[[0u32]]).unwrap();
        // Of 3^200 paths 200 * 201 / 2 say the label.
        let expected = 200.0 * 3f32.ln() - (200.0 * 201.0 / 2.0f32).ln();
        assert!((value(&loss)[0] / expected - 1.0).abs() < 1e-5, "{:?}", value(&loss));
        let path = [0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 9.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let path = Var::from(tensor(&path, [1, 4, 3], device));
        assert_eq!(Ctc::new().best_path(&path).unwrap(), [[1, 1]]);
    }
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

#[test]
fn embeddings() {
    let v = Vectors::load("layer_embedding");
    let ids: Vec<_> = v.get("ids").iter().map(|&id| id as u32).collect();
    for device in devices() {
        for floats in [false, true] {
            let params = Params::new(device);
            let layer = Embedding::new(6, 3).padding_index(0).build(&params).unwrap();
            assert_eq!(params.get("embedding.weight").unwrap()[..3], [0.0; 3]);
            params.set("embedding.weight", &v.get("weight")).unwrap();
            let tape = Tape::new(&params);
            let y = match floats {
                true => layer.forward(&tape, &v.tensor("ids", [2, 5, 1], device).into()).unwrap(),
                false => layer.lookup(&tape, &ids, [2, 5]).unwrap(),
            };
            assert_eq!(y.shape(), [2, 5, 3]);
            assert_eq!(value(&y), v.get("y"), "floats {floats} on {device}");
            tape.backward_from(&[(&y, v.tensor("d_y", [2, 5, 3], device))]).unwrap();
            let found = params.gradient("embedding.weight").unwrap();
            close(&format!("embedding on {device}"), &found, &v.get("d_weight"), 1e-5);
            let error = layer.lookup(&Tape::new(&params), &[5, 6], [1, 2]);
            assert!(matches!(error, Err(Error::Token { sequence: 0, place: 1, tokens: 6 })));
            let odd = Var::from(tensor(&[5.0, 6.0, -1.0, f32::NAN], [4, 1], device));
            // A GPU's floats are not looked at where no gradient is wanted.
            match layer.forward(&Tape::inference(&params), &odd) {
                Ok(y) if device.is_gpu() => {
                    let found = value(&y);
                    assert!(found[..3].iter().all(|v| v.is_finite()));
                    assert!(found[3..].iter().all(|v| v.is_nan()), "{found:?}");
                }
                found => assert!(
                    matches!(found, Err(Error::Token { sequence: 1, place: 0, tokens: 6 })),
                    "{found:?}"
                ),
            }
        }
        let params = Params::new(device);
        let vectors: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let frozen = Embedding::new(3, 2).vectors(vectors.clone()).frozen();
        let frozen = frozen.build(&params).unwrap();
        let tape = Tape::new(&params);
        let y = frozen.lookup(&tape, &[2, 0], [1, 2]).unwrap();
        assert_eq!(value(&y), [4.0, 5.0, 0.0, 1.0]);
        let seeds = [(&y, Tensor::zeros([1, 2, 2], device).unwrap())];
        assert!(matches!(tape.backward_from(&seeds), Err(Error::NotRecorded { .. })));
        assert!(Embedding::new(3, 2).padding_index(3).build(&params).is_err());
        assert!(Embedding::new(3, 2).vectors([0.0; 5]).build(&params).is_err());
    }
}

/// Many tokens, of which some come often: the sums go over several workgroups' places.
#[test]
fn an_embedding_of_many_tokens_sums_the_same_bits_each_time() {
    let ids: Vec<u32> = (0..700u32).map(|i| (i * i + i / 7) % 97).collect();
    let d_y: Vec<f32> = (0..700 * 70).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut expected = vec![0.0f64; 97 * 70];
    for (place, &id) in ids.iter().enumerate() {
        for j in 0..70 {
            expected[id as usize * 70 + j] += f64::from(d_y[place * 70 + j]);
        }
    }
    let expected: Vec<_> = expected.into_iter().map(|v| v as f32).collect();
    for device in devices() {
        let mut before = None;
        for _ in 0..2 {
            let params = Params::new(device);
            let layer = Embedding::new(97, 70).build(&params).unwrap();
            let tape = Tape::new(&params);
            let y = layer.lookup(&tape, &ids, [7, 100]).unwrap();
            tape.backward_from(&[(&y, tensor(&d_y, [7, 100, 70], device))]).unwrap();
            let found = params.gradient("embedding.weight").unwrap();
            close(&format!("embedding on {device}"), &found, &expected, 1e-5);
            assert!(before.replace(found.clone()).is_none_or(|b| b == found));
        }
    }
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

/// All logarithms of sums over paths, by trying every path.
fn paths(x: &[f64], c: usize, labels: &[u32], blank: u32) -> f64 {
    let t = x.len() / c;
    let mut sum = 0.0;
    for path in 0..c.pow(t as u32) {
        let classes: Vec<usize> = (0..t).map(|i| path / c.pow(i as u32) % c).collect();
        let mut said = classes.clone();
        said.dedup();
        said.retain(|&k| k as u32 != blank);
        if said.iter().map(|&k| k as u32).eq(labels.iter().copied()) {
            let frames = x.chunks(c).zip(&classes);
            sum += frames
                .map(|(x, &k)| x[k].exp() / x.iter().map(|x| x.exp()).sum::<f64>())
                .product::<f64>();
        }
    }
    -sum.ln() / labels.len().max(1) as f64
}

#[test]
fn ctc_with_classes_that_are_ruled_out() {
    let never = f32::NEG_INFINITY;
    for device in devices() {
        let run = |ctc: Ctc, x: &[f32], labels: &[u32]| {
            let tape = Tape::new(&Params::new(device));
            let x = tape.input(tensor(x, [1, x.len() / 4, 4], device));
            let loss = ctc.loss(&tape, &x, &[labels]).unwrap();
            let found = value(&loss)[0];
            (found, gradient(&tape.backward(&loss).unwrap(), &x))
        };
        for low in [never, f32::MIN, -1e30] {
            let mut x = vec![low; 12];
            (x[1], x[4 + 2], x[8 + 3]) = (0.0, 0.0, 0.0);
            let (loss, d) = run(Ctc::new(), &x, &[1, 2, 3]);
            assert!(loss.abs() < 1e-6 && d.iter().all(|d| d.abs() < 1e-6), "{low}: {loss} {d:?}");
            let (loss, d) = run(Ctc::new().zero_infinity(), &x, &[3, 2, 1]);
            assert_eq!((loss, d), (0.0, vec![0.0; 12]), "{low} on {device}");
            let (loss, d) = run(Ctc::new(), &x, &[3, 2, 1]);
            assert_eq!((loss, d), (f32::INFINITY, vec![0.0; 12]), "{low} on {device}");
        }
        let mut x: Vec<f32> = (0..24).map(|i| (0.7 * i as f32 + 0.3).sin()).collect();
        (x[0], x[2], x[3], x[4], x[6]) = (never, never, never, never, never);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (loss, d) = run(Ctc::new(), &x, &[1, 2, 3]);
        let expected = paths(&wide, 4, &[1, 2, 3], 0) as f32;
        assert!((loss - expected).abs() < 1e-4, "{loss}, not {expected}, on {device}");
        assert!(d.iter().all(|d| d.is_finite()));
        // Of a row that is skipped there is no gradient, of the others there is.
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[0.5; 24], [2, 4, 3], device));
        let ctc = Ctc::new().zero_infinity();
        let loss = ctc.loss(&tape, &x, &[vec![1, 1, 1, 2], vec![1, 2]]).unwrap();
        let d = gradient(&tape.backward(&loss).unwrap(), &x);
        assert_eq!(d[..12], [0.0; 12], "{device}");
        assert!(d[12..].iter().any(|d| d.abs() > 1e-3), "{device}");
        // Lengths count where the path is read off.
        let logits = Var::from(tensor(&[0., 9., 0., 0., 9., 0., 0., 0., 9.], [1, 3, 3], device));
        let of = |lengths: &[usize]| {
            let lengths = Lengths::new(lengths, device).unwrap();
            Ctc::new().best_path(&logits.clone().with_lengths(Some(lengths)))
        };
        assert_eq!(Ctc::new().best_path(&logits).unwrap(), [[1, 2]]);
        assert_eq!(of(&[2]).unwrap(), [[1]]);
        assert!(matches!(of(&[4]), Err(Error::Length { .. })));
        assert!(matches!(of(&[1, 1]), Err(Error::Shape { .. })));
        let mask = Mask::new(&[true; 3], [1, 3], device).unwrap();
        assert!(Ctc::new().best_path(&logits.clone().with_mask(Some(mask))).is_err());
    }
}

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

fn cases() -> [Case; 19] {
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
        ("a normalised Lstm", [Some(false), None], |p| {
            of(Lstm::new(4).layer_norm().return_sequences().build(p, 3).unwrap())
        }),
        ("Rnn", NOTHING, |p| of(Rnn::new(2).return_sequences().build(p, 3).unwrap())),
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

#[test]
fn weights_of_rows_from_a_mask() {
    for device in devices() {
        let on = [true, false, true, false, false, true];
        let mask = Mask::new(&on, [2, 3], device).unwrap();
        let weights = loss::RowWeights::from_mask(&mask).unwrap();
        assert_eq!(weights.values(), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(weights.sum(), 3.0);
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[1.0, 9.0, 2.0, 9.0, 9.0, 3.0], [2, 3, 1], device));
        let y = Tensor::zeros([2, 3, 1], device).unwrap();
        let loss = loss::mean_absolute_error(&tape, &x, &y, Some(&weights)).unwrap();
        close(&format!("a mean over a mask's steps on {device}"), &value(&loss), &[2.0], 1e-6);
        let d_x = gradient(&tape.backward(&loss).unwrap(), &x);
        assert_eq!([d_x[1], d_x[3], d_x[4]], [0.0; 3], "{device}");
        let nothing = Mask::new(&[false; 6], [2, 3], device).unwrap();
        let error = loss::RowWeights::from_mask(&nothing).unwrap_err();
        assert!(matches!(error, Error::Option { option: "RowWeights::weights", .. }), "{error}");
    }
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
