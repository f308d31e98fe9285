//! Models of 8-bit weights: how far outputs move, on every device, in every form of a layer; files; errors.

use crate::common::{Folder, devices};
use std::fs;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Embedding, Graph, Highway, LayerNorm, Lstm, Merge};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor, Var};

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 31) as f32 * 0.37).sin()).collect()
}

/// Rows of different lengths.
fn sample(features: usize, lengths: &[usize]) -> Sequences {
    let rows = lengths.iter().enumerate();
    Sequences::new(features, rows.map(|(n, &len)| numbers(len * features, n))).unwrap()
}

/// The largest difference, relative to the root of the mean square.
fn off(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|v| v * v).sum::<f32>() / expected.len() as f32).sqrt();
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / rms
}

/// Layers in every form, over odd sizes: 8 bits give what 32 give but for some percent, a stepper and a loaded file
/// the same as the model.
#[test]
fn outputs_stay_near_those_of_32_bits() {
    let folder = Folder::new("quantized");
    for device in devices() {
        let sizes = [(5, 31), (64, 33), (1, 1), (3, 4), (31, 64), (127, 16)];
        // A software adapter is slow, and the kernels have tests of their own over odd sizes.
        let count = if device.is_gpu() { 1 } else { sizes.len() };
        for (number, &(inputs, hidden)) in sizes[..count].iter().enumerate() {
            let lstm = || Lstm::new(hidden);
            let layers = [
                lstm(),
                lstm().return_sequences().num_layers(2),
                lstm().bidirectional(Merge::Concat).return_sequences(),
                lstm().go_backwards(),
                lstm().no_bias().bidirectional(Merge::Sum),
            ];
            for (form, layer) in layers.into_iter().enumerate() {
                let what = format!("{inputs} to {hidden}, form {form}, {device}");
                let mut model = Sequential::new(device).seed(number as u64).add(layer);
                model = model.add(Dense::new(3));
                model.build(inputs).unwrap();
                // Of one length, and of several with an order of their own.
                let batches = [&[2, 7, 1, 5, 7][..], &[6; 3]];
                for lengths in &batches[..if device.is_gpu() { 1 } else { 2 }] {
                    let x = sample(inputs, lengths);
                    let expected = model.predict(&x).unwrap();
                    let path = folder.path().join("m.safetensors");
                    model.save(&path).unwrap();
                    let before = fs::metadata(&path).unwrap().len();
                    let mut quantised = Sequential::load(&path, device).unwrap();
                    let report = quantised.quantize(&x).unwrap();
                    let found = quantised.predict(&x).unwrap();
                    let moved = off(found.values(), expected.values());
                    assert!(moved < 0.08, "{what}: {moved}, {report}");
                    assert!(hidden < 4 || moved > 0.0, "{what}: nothing moved");
                    let largest = found.values().iter().zip(expected.values());
                    let largest = largest.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert_eq!(report.outputs.max_abs, largest, "{what}");
                    let same = expected.classes().into_iter().zip(found.classes());
                    let same = same.filter(|(a, b)| a == b).count() as f32 / found.rows() as f32;
                    assert_eq!(report.agreement, Some(same), "{what}");
                    assert_eq!(report.layers.len(), 2);
                    assert!(
                        report
                            .layers
                            .iter()
                            .all(|l| l.moved.is_some_and(|m| m.relative_rms < 0.05))
                    );
                    assert_eq!(report.bytes[0], 4 * model.params().parameter_count());
                    let sum: usize = report.layers.iter().map(|layer| layer.bytes[1]).sum();
                    assert_eq!(sum, report.bytes[1]);

                    quantised.save(&path).unwrap();
                    if hidden >= 31 {
                        assert!(fs::metadata(&path).unwrap().len() * 2 < before, "{what}");
                    }
                    let loaded = Sequential::load(&path, device).unwrap();
                    let again = loaded.predict(&x).unwrap();
                    assert_eq!(again.values(), found.values(), "{what}");
                    for name in model.params().names() {
                        let [a, b] = [&loaded, &quantised].map(|m| m.params().get(&name).unwrap());
                        assert_eq!(a, b, "{what}: {name}");
                        let original = model.params().get(&name).unwrap();
                        let zeros = original.iter().all(|&v| v == 0.0);
                        assert!(zeros || off(&a, &original) < 0.05, "{what}: {name}");
                    }
                }
                if form > 1 {
                    continue;
                }
                // A stream gives what its sequence gives.
                let x = sample(inputs, &[5]);
                model.quantize(&x).unwrap();
                let whole = model.predict(&x).unwrap();
                let mut stepper = model.stepper(2).unwrap();
                let streams = [stepper.join().unwrap(), stepper.join().unwrap()];
                let frames = numbers(5 * inputs, 0);
                let mut last = Vec::new();
                for frame in frames.chunks_exact(inputs) {
                    let other = numbers(inputs, 9);
                    let both = [(streams[1], &other[..]), (streams[0], frame)];
                    last = stepper.step(&both).unwrap().row(1).to_vec();
                }
                let expected = whole.row(whole.rows() - 1);
                match device.is_gpu() {
                    false => assert_eq!(last, expected, "{what}"),
                    true => assert!(off(&last, expected) < 1e-5, "{what}"),
                }
            }
        }
    }
}

/// The numbers do not depend on the threads: not where these share the units of one row, and not where each takes some
/// of many rows.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    let mut found = Vec::new();
    for threads in [1, 2, 3] {
        let device = Device::cpu_with_threads(threads).unwrap();
        let lstm = Lstm::new(260).return_sequences().bidirectional(Merge::Concat);
        let mut model = Sequential::new(&device).add(lstm).add(Dense::new(5));
        model.build(70).unwrap();
        let x = sample(70, &[9, 4, 12, 1, 7, 12, 3]);
        model.quantize(&x).unwrap();
        let one = model.predict_batches(&x, 1).unwrap();
        let all = model.predict(&x).unwrap();
        assert_eq!(one.values(), all.values(), "{threads}");
        found.push(all.values().to_vec());
    }
    assert!(found.iter().all(|values| *values == found[0]));
}

/// A model that has learned to tell rising from falling sequences still does.
#[test]
fn a_trained_model_keeps_its_classes() {
    for device in devices() {
        let rows: Vec<Vec<f32>> = (0..64)
            .map(|n| {
                let slope = if n % 2 == 0 { 0.1 } else { -0.1 };
                let noise = numbers(12, n);
                (0..12).map(|t| slope * t as f32 + 0.2 * noise[t]).collect()
            })
            .collect();
        let x = Sequences::new(1, rows).unwrap();
        let y = Targets::classes((0..64).map(|n| n % 2));
        let head = Dense::new(2).activation(Activation::Softmax);
        let mut model = Sequential::new(device).seed(3).add(Lstm::new(12)).add(head);
        model.compile(Adam::new(2e-2), Loss::CrossEntropy, &[Metric::Accuracy]);
        model.fit(&x, &y, Fit::new().epochs(40).quiet()).unwrap();
        let before = model.evaluate(&x, &y).unwrap();
        let report = model.quantize(&x).unwrap();
        let after = model.evaluate(&x, &y).unwrap();
        let accuracy = [&before, &after].map(|e| e.metrics[0]);
        assert!(accuracy[0] > 0.95 && accuracy[1] >= accuracy[0] - 0.02, "{accuracy:?}, {report}");
        assert!(report.agreement.unwrap() > 0.96, "{report}");
        assert!((after.loss - before.loss).abs() < 0.02, "{before:?} {after:?}");
        let text = report.to_string();
        assert!(text.contains("0 lstm: ") && text.contains("% of the classes stayed"), "{text}");

        let error = model.fit(&x, &y, Fit::new().epochs(1).quiet()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { with: "training", .. }), "{error}");
        let again = model.quantize(&x).unwrap_err();
        assert!(again.to_string().contains("already"), "{again}");
        assert_eq!(model.evaluate(&x, &y).unwrap().loss, after.loss);
        let set = model.params().set("dense.weight", &[0.0; 24]).unwrap_err();
        assert!(matches!(set, Error::Unsupported { .. }), "{set}");
    }
}

/// NaN and infinity make NaN of their own row from their step on, and of no other.
#[test]
fn what_is_not_finite_stays_in_its_row() {
    for device in devices() {
        let mut model = Sequential::new(device).add(Lstm::new(20).return_sequences());
        model = model.add(Dense::new(3));
        model.build(7).unwrap();
        model.quantize(&sample(7, &[4])).unwrap();
        let clean = numbers(3 * 4 * 7, 1);
        let run = |values: &[f32]| {
            let x: Var = Tensor::from_slice(values, [3, 4, 7], device).unwrap().into();
            let tape = Tape::inference(model.params());
            model.forward(&tape, &x).unwrap().tensor().to_vec().unwrap()
        };
        let expected = run(&clean);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = clean.clone();
            values[4 * 7 + 2 * 7 + 3] = bad; // row 1, step 2
            let found = run(&values);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                match (i / 12, i / 3 % 4) {
                    (1, 2..) => assert!(found.is_nan(), "{bad} at {i} on {device}"),
                    _ => assert_eq!(found, expected, "{bad} at {i} on {device}"),
                }
            }
        }
    }
}

#[test]
fn layers_that_stay_in_32_bits_are_named() {
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Embedding::new(11, 6))
            .add(Lstm::new(8).layer_norm().return_sequences())
            .add(Lstm::new(8).peepholes().return_sequences())
            .add(LayerNorm::new())
            .add(Lstm::new(8).recurrent_dropout(0.2))
            .add(Dense::new(1));
        model.build(1).unwrap();
        let x = Sequences::from_tokens([vec![1, 2, 3], vec![4, 10]]).unwrap();
        let report = model.quantize(&x).unwrap();
        let moved: Vec<_> = report.layers.iter().map(|layer| layer.moved.is_some()).collect();
        assert_eq!(moved, [false, false, false, false, true, true]);
        assert!(report.layers.iter().all(|l| (l.bytes[0] == l.bytes[1]) == l.moved.is_none()));
        assert_eq!(report.agreement, None);
        assert!(report.to_string().contains("1 lstm: ") && report.to_string().contains("stays"));
    }
}

#[test]
fn models_that_cannot_be_quantised_say_why() {
    let device = Device::cpu().unwrap();
    let x = sample(3, &[2]);
    let mut model = Sequential::new(&device).add(Lstm::new(4));
    assert!(matches!(model.quantize(&x).unwrap_err(), Error::NotBuilt { .. }));
    model.build(3).unwrap();
    let other = model.quantize(&sample(2, &[2])).unwrap_err();
    assert!(matches!(other, Error::Features { expected: 3, found: 2, .. }), "{other}");
    let weight = model.params().get("lstm.weight_hh_l0").unwrap();
    let mut broken = weight.clone();
    broken[5] = f32::NAN;
    model.params().set("lstm.weight_hh_l0", &broken).unwrap();
    let error = model.quantize(&x).unwrap_err();
    assert!(error.to_string().contains("lstm.weight_hh_l0"), "{error}");
    // It is as it was before, and can be mended.
    model.params().set("lstm.weight_hh_l0", &weight).unwrap();
    model.quantize(&x).unwrap();
    let mut norm = Sequential::new(&device).add(LayerNorm::new());
    norm.build(3).unwrap();
    assert!(matches!(norm.quantize(&x).unwrap_err(), Error::Unsupported { .. }));
}

/// Files whose tensors of 8 bits are not what they should be.
#[test]
fn damaged_files_are_refused() {
    let folder = Folder::new("quantized-damaged");
    let device = Device::cpu().unwrap();
    let mut model = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(2));
    model.build(3).unwrap();
    model.quantize(&sample(3, &[2])).unwrap();
    let path = folder.path().join("m.safetensors");
    model.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8(bytes[8..header].to_vec()).unwrap();
    let refused = |text: &str, what: &str| {
        let mut all = bytes.clone();
        assert_eq!(text.len(), header - 8, "{what}");
        all[8..header].copy_from_slice(text.as_bytes());
        fs::write(&path, &all).unwrap();
        let error = Sequential::load(&path, &device).err().unwrap_or_else(|| panic!("{what}"));
        assert!(matches!(error, Error::File { .. }), "{what}: {error}");
        error.to_string()
    };
    // Bytes of another kind, for a parameter that cannot be of 8 bits, of another shape, without scales.
    refused(&text.replace("\"I8\"", "\"U8\""), "unsigned");
    refused(&text.replace("lstm.weight_hh_l0.scale", "lstm.weight_hh_l0.scalf"), "no scale");
    assert!(text.contains("[16,4]"), "{text}");
    refused(&text.replace("[16,4]", "[4,16]"), "another shape");
    for end in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..end]).unwrap();
        assert!(Sequential::load(&path, &device).is_err(), "{end} bytes");
    }
    // Scales that are no scales.
    let entry = text.find("lstm.weight_hh_l0.scale").unwrap();
    let offsets = &text[entry..][text[entry..].find("data_offsets").unwrap()..];
    let first: usize = offsets[15..].split(',').next().unwrap().parse().unwrap();
    for scale in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        let mut all = bytes.clone();
        all[header + first..][..4].copy_from_slice(&scale.to_le_bytes());
        fs::write(&path, &all).unwrap();
        let error = Sequential::load(&path, &device).err().unwrap();
        assert!(error.to_string().contains("scale"), "{error}");
    }
    fs::write(&path, &bytes).unwrap();
    let _ = Sequential::load(&path, &device).unwrap();
    // Weights alone go into a model that was built, too, and make it one of 8 bits.
    let mut other = Sequential::new(&device).add(Lstm::new(4)).add(Dense::new(2)).seed(9);
    other.build(3).unwrap();
    other.params().load(&path).unwrap();
    let x = sample(3, &[5]);
    assert_eq!(other.predict(&x).unwrap().values(), model.predict(&x).unwrap().values());
}

/// Layers within others are of 8 bits as they are by themselves; files and steppers have them, too.
#[test]
fn layers_within_layers_are_quantised() {
    let folder = Folder::new("quantized-inside");
    for device in devices() {
        let graph = Graph::new()
            .layer("lstm", "input", Lstm::new(24).return_sequences())
            .layer("dense", "lstm", Dense::new(24).activation(Activation::Tanh))
            .add("sum", &["lstm", "dense"]);
        let mut model = Sequential::new(device)
            .seed(2)
            .add(Highway::new(Lstm::new(24).return_sequences()))
            .add(graph)
            .add(LayerNorm::new())
            .add(Dense::new(3));
        model.build(20).unwrap();
        let x = sample(20, &[5, 3, 5]);
        let before = model.predict(&x).unwrap();
        let report = model.quantize(&x).unwrap();
        for (layer, kind) in report.layers.iter().zip(["highway", "graph", "layer_norm", "dense"]) {
            assert_eq!((layer.kind, layer.moved.is_some()), (kind, kind != "layer_norm"));
            if kind != "layer_norm" {
                assert!(layer.bytes[1] * 5 < layer.bytes[0] * 2, "{kind}: {:?}", layer.bytes);
                assert!(layer.moved.unwrap().relative_rms > 0.0, "{kind} on {device}");
            }
        }
        let found = model.predict(&x).unwrap();
        assert!(off(found.values(), before.values()) < 0.05, "{device}");
        let path = folder.path().join("m.safetensors");
        model.save(&path).unwrap();
        let loaded = Sequential::load(&path, device).unwrap();
        assert_eq!(loaded.predict(&x).unwrap(), found, "{device}");
        let mut stepper = loaded.stepper(1).unwrap();
        let stream = stepper.join().unwrap();
        for (t, frame) in x.get(1).chunks(20).enumerate() {
            let y = stepper.step(&[(stream, frame)]).unwrap().row(0).to_vec();
            assert!(off(&y, found.row(5 + t)) < 1e-4, "step {t} on {device}");
        }
        let again = model.quantize(&x).unwrap_err();
        assert!(matches!(
            again,
            Error::Unsupported { with: "a model that is quantised already", .. }
        ));
    }
}
