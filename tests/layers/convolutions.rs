//! Convolutions, pools and what stands beside them, against what PyTorch and Keras computed.

use super::common::{Vectors, close, devices, tensor, value};
use super::gradient;
use wgpu_lstm::nn::{
    Activation, AttentionPool, BatchNorm, Conv1d, Dense, Embedding, Flatten, Lstm, Masking,
    Padding, Params, Pool, Pool1d, Pooling, Repeat, Spectrogram, TimeDistributed,
};
use wgpu_lstm::train::AdamW;
use wgpu_lstm::{Device, Error, Lengths, Mask, Result, Sequential, Tape, Tensor, Var};

/// Numbers between -1 and 1, the same everywhere.
fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

#[test]
fn convolutions_are_those_of_pytorch() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        for (name, sizes, [c, t, steps]) in [
            ("plain", Conv1d::new(4, 3), [3, 7, 5]),
            ("strided", Conv1d::new(4, 4).stride(3).padding(Padding::Explicit(2, 2)), [3, 11, 4]),
            (
                "dilated",
                Conv1d::new(6, 3).dilation(2).groups(2).padding(Padding::Explicit(3, 3)),
                [2, 9, 11],
            ),
            (
                "depthwise",
                Conv1d::new(5, 3).stride(2).groups(5).padding(Padding::Explicit(1, 1)),
                [5, 8, 4],
            ),
            ("short", Conv1d::new(4, 3).padding(Padding::Explicit(1, 1)), [3, 1, 1]),
        ] {
            let params = Params::new(device);
            let layer = sizes.build(&params, c).unwrap();
            let get = |what: &str| v.get(&format!("{name}.{what}"));
            for part in ["weight", "bias"] {
                params.set(&format!("conv1d.{part}"), &get(part)).unwrap();
            }
            let (tape, what) = (Tape::new(&params), format!("{name} on {device}"));
            let x = tape.input(tensor(&get("x"), [2, t, c], device));
            let y = layer.forward(&tape, &x).unwrap();
            assert_eq!(y.shape()[1], steps, "{what}");
            close(&what, &value(&y), &get("y"), 1e-5);
            let d_y = tensor(&get("d_y"), y.shape(), device);
            let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
            close(&what, &gradient(&gradients, &x), &get("d_x"), 1e-5);
            for part in ["weight", "bias"] {
                let found = params.gradient(&format!("conv1d.{part}")).unwrap();
                close(&what, &found, &get(&format!("d_{part}")), 1e-5);
            }
        }
        for (name, layer) in [
            ("same", Conv1d::new(4, 4).stride(2).padding(Padding::Same)),
            ("same_dilated", Conv1d::new(4, 3).dilation(2).padding(Padding::Same)),
            ("causal", Conv1d::new(4, 3).dilation(2).padding(Padding::Causal)),
        ] {
            let activation = match name {
                "same" => Activation::Gelu,
                "same_dilated" => Activation::Selu,
                _ => Activation::Relu,
            };
            let params = Params::new(device);
            let layer = layer.activation(activation).build(&params, 3).unwrap();
            let get = |what: &str| v.get(&format!("keras_{name}.{what}"));
            for part in ["weight", "bias"] {
                params.set(&format!("conv1d.{part}"), &get(part)).unwrap();
            }
            let x = tensor(&get("x"), [2, 9, 3], device).into();
            let y = layer.forward(&Tape::inference(&params), &x).unwrap();
            close(&format!("Keras' {name} on {device}"), &value(&y), &get("y"), 1e-5);
        }
    }
}

#[test]
fn pools_are_those_of_pytorch_and_keras() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        let params = Params::new(device);
        let around = |pool: Pool1d| pool.stride(2).padding(Padding::Explicit(1, 1));
        for (name, pool) in [
            ("max", around(Pool1d::max(3))),
            ("average", around(Pool1d::average(3)).count_padding()),
            ("average_without", around(Pool1d::average(3))),
            ("keras_max", Pool1d::max(3).stride(2).padding(Padding::Same)),
        ] {
            let (tape, what) = (Tape::new(&params), format!("{name} on {device}"));
            let x = tape.input(v.tensor("pool.x", [2, 8, 3], device));
            let y = pool.forward(&tape, &x).unwrap();
            close(&what, &value(&y), &v.get(&format!("pool_{name}.y")), 1e-6);
            let Some(d_y) = v.find(&format!("pool_{name}.d_y")) else { continue };
            let gradients = tape.backward_from(&[(&y, tensor(&d_y, y.shape(), device))]).unwrap();
            close(&what, &gradient(&gradients, &x), &v.get(&format!("pool_{name}.d_x")), 1e-6);
        }
    }
}

#[test]
fn batch_normalisation_keeps_its_statistics() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        let params = Params::new(device);
        let layer = BatchNorm::new().eps(1e-3).build(&params, 3).unwrap();
        for part in ["weight", "bias", "running_mean", "running_var"] {
            params.set(&format!("batch_norm.{part}"), &v.get(&format!("norm.{part}"))).unwrap();
        }
        let (tape, what) = (Tape::new(&params), format!("batch norm on {device}"));
        let x = tape.input(v.tensor("pool.x", [2, 8, 3], device));
        let y = layer.forward(&tape, &x).unwrap();
        close(&what, &value(&y), &v.get("norm.y"), 1e-5);
        let d_y = v.tensor("norm.d_y", [2, 8, 3], device);
        let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
        close(&what, &gradient(&gradients, &x), &v.get("norm.d_x"), 1e-5);
        for part in ["weight", "bias"] {
            let found = params.gradient(&format!("batch_norm.{part}")).unwrap();
            close(&what, &found, &v.get(&format!("norm.d_{part}")), 1e-5);
        }
        // A decay moves the weights, and nothing the statistics, even if the model is to learn all it has.
        AdamW::new(0.1).weight_decay(0.5).step(&params).unwrap();
        let moved = |part: &str| {
            params.get(&format!("batch_norm.{part}")).unwrap() != v.get(&format!("norm.{part}"))
        };
        assert_eq!(
            ["weight", "bias", "running_mean", "running_var"].map(moved),
            [true, true, false, false],
            "{what}"
        );
    }
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(BatchNorm::new());
    model.build(2).unwrap();
    model.unfreeze(..).unwrap();
    let ones = model.params().get("batch_norm.running_var").unwrap();
    AdamW::new(0.1).weight_decay(0.5).step(model.params()).unwrap();
    assert_eq!(model.params().get("batch_norm.running_var").unwrap(), ones);
}

#[test]
fn spectrograms_are_those_of_pytorch() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        let params = Params::new(device);
        let samples: Var = v.tensor("stft.x", [2, 40, 1], device).into();
        for (name, layer) in
            [("y", Spectrogram::new(16, 5)), ("centered", Spectrogram::new(16, 5).reflect(8, 8))]
        {
            let layer = layer.build(&params).unwrap();
            let y = layer.forward(&Tape::inference(&params), &samples).unwrap();
            let what = format!("{name} on {device}");
            close(&what, &value(&y), &v.get(&format!("stft.{name}")), 1e-5);
        }
    }
}

#[test]
fn activations_are_those_of_pytorch_and_keras() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        let params = Params::new(device);
        for (name, activation) in [
            ("elu", Activation::Elu { alpha: 0.7 }),
            ("selu", Activation::Selu),
            ("gelu", Activation::Gelu),
            ("gelu_tanh", Activation::GeluTanh),
            ("silu", Activation::Silu),
            ("softplus", Activation::Softplus),
            ("softsign", Activation::Softsign),
            ("hard_sigmoid", Activation::HARD_SIGMOID),
            ("leaky_relu", Activation::LeakyRelu { alpha: 0.2 }),
            ("relu6", Activation::Relu6),
            ("hard_silu", Activation::HardSilu),
            ("mish", Activation::Mish),
            ("thresholded_relu", Activation::ThresholdedRelu { alpha: 0.5 }),
        ] {
            let tape = Tape::new(&params);
            let x = tape.input(v.tensor("act.x", [80], device));
            let y = activation.forward(&tape, &x).unwrap();
            let ones = tensor(&[1.0; 80], [80], device);
            let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
            let (y, d_x) = (value(&y), gradient(&gradients, &x));
            let expected = [v.get(&format!("act.{name}")), v.get(&format!("act.d_{name}"))];
            for (what, found, expected) in [("", y, &expected[0]), ("'s slope", d_x, &expected[1])]
            {
                for ((f, e), x) in found.iter().zip(expected).zip(v.get("act.x")) {
                    // At a bend there are two slopes.
                    let bend = !what.is_empty() && [0.0, 3.0, -3.0, 6.0, 0.5].contains(&x);
                    let near = (f - e).abs() <= 5e-6 * (1.0 + e.abs());
                    assert!(near || bend, "{name}{what} of {x} is {f}, not {e}, on {device}");
                }
            }
            let nan = tensor(&[f32::NAN], [1], device).into();
            assert!(
                value(&activation.forward(&Tape::inference(&params), &nan).unwrap())[0].is_nan()
            );
        }
        let exp = Activation::Exp.forward(&Tape::new(&params), &tensor(&[1.0], [1], device).into());
        close("exp", &value(&exp.unwrap()), &[std::f32::consts::E], 1e-6);
    }
}

#[test]
fn attention_pools_and_masking() {
    let v = Vectors::load("convolutions");
    for device in devices() {
        let params = Params::new(device);
        let pool = AttentionPool::new().build(&params, 3).unwrap();
        params.set("attention_pool.weight", &v.get("attention.weight")).unwrap();
        let mask: Vec<_> = v.get("attention.mask").iter().map(|&on| on > 0.0).collect();
        let mask = Mask::new(&mask, [2, 5], device).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(v.tensor("attention.x", [2, 5, 3], device)).with_mask(Some(mask));
        let y = pool.forward(&tape, &x).unwrap();
        close(&format!("attention pool on {device}"), &value(&y), &v.get("attention.y"), 1e-5);

        let mut model = Sequential::new(device).add(Masking::new(-1.0)).add(Lstm::new(3));
        model.build(2).unwrap();
        for part in ["weight_ih", "weight_hh", "bias"] {
            // Keras' gates are i, f, c, o, as here.
            let values = v.get(&format!("masking.{part}"));
            model.params().set(&format!("lstm.{part}_l0"), &values).unwrap();
        }
        let x = v.tensor("masking.x", [2, 6, 2], device).into();
        let y = model.forward(&Tape::inference(model.params()), &x).unwrap();
        close(&format!("masking on {device}"), &value(&y), &v.get("masking.y"), 1e-5);
    }
}

/// Each row of a batch gives what it gives by itself, whatever stands behind it.
#[test]
fn rows_of_different_lengths_are_as_those_alone() {
    let lengths = [9, 4, 1, 6, 0];
    for device in devices() {
        let params = Params::new(device);
        let conv = |conv: Conv1d| conv.bias_init(wgpu_lstm::nn::Init::Constant(0.5));
        let convs = [
            conv(Conv1d::new(3, 3)),
            conv(Conv1d::new(3, 4).stride(2).padding(Padding::Explicit(2, 1))),
            conv(Conv1d::new(4, 3).dilation(2).padding(Padding::Causal).groups(2)),
            conv(Conv1d::new(3, 3).padding(Padding::Same)),
        ];
        let convs = convs.map(|layer| layer.build(&params, 2).unwrap());
        let pools = [
            Pool1d::max(2),
            Pool1d::average(3).stride(2).padding(Padding::Explicit(1, 1)),
            Pool1d::average(3).stride(1).padding(Padding::Same).count_padding(),
            Pool1d::max(3).stride(1).padding(Padding::Same),
        ];
        type Run<'a> = Box<dyn Fn(&Tape, &Var) -> Result<Var> + 'a>;
        let convs = convs.iter().map(|l| -> Run<'_> { Box::new(|t, x| l.forward(t, x)) });
        let pools = pools.iter().map(|l| -> Run<'_> { Box::new(|t, x| l.forward(t, x)) });
        for (number, run) in convs.chain(pools).enumerate() {
            let rows = lengths.map(|length| numbers(2 * length, length as f32));
            let padded = rows.iter().flat_map(|row| {
                let mut row = row.clone();
                row.resize(18, f32::NAN);
                row
            });
            let padded: Vec<f32> = padded.collect();
            let tape = Tape::new(&params);
            let x = tape.input(tensor(&padded, [5, 9, 2], device));
            let x = x.with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
            let y = run(&tape, &x).unwrap();
            let (outputs, width) = (y.lengths().unwrap().values().to_vec(), y.shape()[2]);
            let (steps, all) = (y.shape()[1], value(&y));
            // Gradients of what counts alone, as a loss gives them.
            let mut seeds = vec![0.0; all.len()];
            for (row, &length) in outputs.iter().enumerate() {
                seeds[row * steps * width..][..length as usize * width].fill(1.0);
            }
            let seeds = tensor(&seeds, y.shape(), device);
            let gradients = tape.backward_from(&[(&y, seeds)]).unwrap();
            let d_x = gradient(&gradients, &x);
            for (row, values) in rows.iter().enumerate() {
                let what = format!("layer {number}, row {row}, on {device}");
                let found = &all[row * steps * width..][..outputs[row] as usize * width];
                let found_d = &d_x[row * 18..][..18];
                assert!(found_d[values.len()..].iter().all(|&d| d == 0.0), "{what}");
                let tape = Tape::new(&params);
                if values.is_empty() {
                    assert!(found.is_empty(), "{what}");
                    continue;
                }
                let alone = tape.input(tensor(values, [1, values.len() / 2, 2], device));
                match run(&tape, &alone) {
                    Err(error) => {
                        assert!(matches!(error, Error::Empty { .. }), "{what}: {error}");
                        assert!(found.is_empty(), "{what}");
                    }
                    Ok(y) => {
                        close(&what, found, &value(&y), 1e-6);
                        let ones = tensor(&vec![1.0; found.len()], y.shape(), device);
                        let gradients = tape.backward_from(&[(&y, ones)]).unwrap();
                        let expected = gradient(&gradients, &alone);
                        close(&what, &found_d[..values.len()], &expected, 1e-6);
                    }
                }
            }
        }
        let same = Pool1d::max(2).padding(Padding::Same).stride(3);
        let x = Var::from(Tensor::zeros([2, 6, 1], device).unwrap());
        let x = x.with_lengths(Some(Lengths::new(&[6, 4], device).unwrap()));
        let tape = Tape::inference(&params);
        assert!(same.forward(&tape, &x).is_ok(), "no padding before either row");
        let same = Conv1d::new(1, 5).stride(3).padding(Padding::Same).build(&params, 1).unwrap();
        let error = same.forward(&tape, &x).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let error = Flatten::new().forward(&tape, &x).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let device = &Device::cpu().unwrap();
    let refused = |model: Sequential, size: usize| {
        let mut model = model;
        let error = model.build(size).unwrap_err();
        assert!(model.params().names().is_empty(), "{error}");
        error.to_string()
    };
    let new = || Sequential::new(device);
    for (model, size, part) in [
        (new().add(Conv1d::new(4, 0)), 3, "Conv1d::kernel_size"),
        (new().add(Conv1d::new(4, 3).stride(0)), 3, "Conv1d::stride"),
        (new().add(Conv1d::new(4, 3).dilation(0)), 3, "Conv1d::dilation"),
        (new().add(Conv1d::new(4, 3).groups(3)), 3, "Conv1d::groups"),
        (new().add(Conv1d::new(4, 1 << 20).dilation(1 << 20)), 3, "a window over"),
        (new().add(Pool1d::max(0)), 3, "Pool1d::size"),
        (new().add(BatchNorm::new().eps(0.0)), 3, "BatchNorm::eps"),
        (new().add(Flatten::new()), 3, "Flatten::timesteps"),
        (new().add(Repeat::new(2)).add(Flatten::new().timesteps(3)), 3, "Flatten::timesteps"),
        (new().add(Repeat::new(2)).add(Conv1d::new(4, 3)).add(Flatten::new()), 3, "timesteps"),
        (new().add(Masking::new(f32::NAN)), 3, "Masking::value"),
        (new().add(Spectrogram::new(4, 2)), 3, "Spectrogram"),
        (new().add(Activation::Elu { alpha: f32::INFINITY }), 3, "finite parameters"),
        (new().add(TimeDistributed::new()), 3, "TimeDistributed"),
        (new().add(TimeDistributed::new().channels(2).add(Flatten::new())), 3, "channels"),
        (new().add(TimeDistributed::new().add(Conv1d::new(4, 2))), 3, "gives a sequence"),
        (new().add(TimeDistributed::new().add(Lstm::new(4).stateful())), 3, "stateful"),
    ] {
        let text = refused(model, size);
        assert!(text.contains(part), "{text:?} says nothing of {part:?}");
    }
    // Outputs that are sequences of other lengths have no targets; a prediction has as many as there are.
    let mut model = new().add(Conv1d::new(1, 3));
    model.build(2).unwrap();
    let x = wgpu_lstm::data::Sequences::from_array(&numbers(20, 1.0), [1, 10, 2]).unwrap();
    assert_eq!(model.predict(&x).unwrap().rows(), 8);
    model.compile(AdamW::new(0.1), wgpu_lstm::train::Loss::MeanSquaredError, &[]);
    let y = wgpu_lstm::data::Targets::values(numbers(10, 1.0), 1);
    let error = model.evaluate(&x, &y).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let mut model = new().add(Conv1d::new(1, 3)).add(Pool::new(Pooling::Mean)).add(Dense::new(1));
    model.compile(AdamW::new(0.1), wgpu_lstm::train::Loss::MeanSquaredError, &[]);
    let y = wgpu_lstm::data::Targets::values(vec![1.0], 1);
    model.fit(&x, &y, wgpu_lstm::train::Fit::default()).unwrap();
}

/// A convolution goes on over frames that a mask leaves out, which a stream skips.
#[test]
fn what_sees_frames_that_are_left_out_is_no_step() -> Result<()> {
    let conv = |size| Conv1d::new(4, size).padding(Padding::Causal);
    for (first, masks) in [(true, true), (false, true), (true, false)] {
        let embedding = Embedding::new(5, 3);
        let mut model = Sequential::new(&Device::cpu()?)
            .add(if masks { embedding.mask_zero() } else { embedding })
            .add(if first { conv(2) } else { conv(1) })
            .add(Lstm::new(2));
        model.build(1)?;
        let refused = matches!(model.stepper(1).err(), Some(Error::Unsupported { .. }));
        assert_eq!(refused, first && masks);
    }
    Ok(())
}
