//! Layers that a training leaves as they are.

use crate::common::{devices, tensor};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Dense, Embedding, Group, LayerNorm, Lstm, Merge, Params, Rnn};
use wgpu_lstm::train::{AdamW, Fit, Loss};
use wgpu_lstm::{Device, Error, Sequential, Tape};

/// The bits of all parameters whose names begin so.
fn bits(params: &Params, begin: &str) -> Vec<u32> {
    let names = params.names().into_iter().filter(|name| name.starts_with(begin));
    names.flat_map(|name| params.get(&name).unwrap()).map(f32::to_bits).collect()
}

const PARTS: [&str; 5] = ["embedding.", "lstm.", "rnn.", "layer_norm.", "dense."];

fn model(device: &Device, frozen: usize) -> Sequential {
    macro_rules! layer {
        ($number:literal, $layer:expr) => {
            if frozen == $number { $layer.frozen() } else { $layer }
        };
    }
    let mut model = Sequential::new(device)
        .seed(3)
        .add(layer!(0, Embedding::new(5, 3)))
        .add(layer!(1, Lstm::new(4).peepholes().bidirectional(Merge::Sum).return_sequences()))
        .add(layer!(2, Rnn::new(3).kernel_init(wgpu_lstm::nn::Init::HeNormal).return_sequences()))
        .add(layer!(3, LayerNorm::new()))
        .add(layer!(4, Dense::new(2).kernel_max_norm(0.1)));
    model.build(1).unwrap();
    model
}

fn train(model: &mut Sequential) {
    let x = Sequences::from_tokens([vec![1, 4, 2], vec![3, 1]]).unwrap();
    let y = Targets::classes([0, 1, 1, 0, 1]);
    model.compile(AdamW::new(0.05).weight_decay(0.3), Loss::CrossEntropy, &[]);
    model.fit(&x, &y, Fit::new().epochs(2).seed(5).quiet()).unwrap();
}

/// Which parts have moved, of the parameters before.
fn moved(model: &Sequential, before: &[Vec<u32>]) -> Vec<bool> {
    PARTS.iter().zip(before).map(|(part, before)| bits(model.params(), part) != *before).collect()
}

fn parts(model: &Sequential) -> Vec<Vec<u32>> {
    PARTS.iter().map(|part| bits(model.params(), part)).collect()
}

/// By the layer's own option, by its number, and by a group: the same bits of all others.
#[test]
fn a_frozen_layer_keeps_its_bits() {
    for device in devices() {
        for (number, part) in PARTS.into_iter().enumerate() {
            let what = format!("layer {number} on {device}");
            let mut own = model(device, number);
            // Neither a group nor its penalty moves it.
            own.params().group(|_| true, Group::new().rate(1.0)).unwrap();
            let before = parts(&own);
            let lines = own.summary();
            let marked: Vec<_> = lines.lines().map(|line| line.contains("(frozen)")).collect();
            assert!(marked[1..6].iter().enumerate().all(|(n, on)| *on == (n == number)), "{lines}");
            assert!(lines.ends_with("of them frozen"), "{lines}");
            train(&mut own);
            let expected: Vec<_> = (0..PARTS.len()).map(|n| n != number).collect();
            assert_eq!(moved(&own, &before), expected, "{what}");
            let mut by_number = model(device, 9);
            by_number.freeze(number..=number).unwrap();
            train(&mut by_number);
            assert!(parts(&by_number) == parts(&own), "{what}");
            let mut by_group = model(device, 9);
            let group = move |name: &str| name.starts_with(part);
            by_group.params().group(group, Group::new().frozen()).unwrap();
            train(&mut by_group);
            assert!(parts(&by_group) == parts(&own), "{what}");
            // And it learns again.
            own.unfreeze(..).unwrap();
            assert!(!own.summary().contains("frozen"));
            let before = parts(&own);
            train(&mut own);
            assert_eq!(moved(&own, &before), [true; 5], "{what}");
        }
    }
}

#[test]
fn a_file_keeps_what_is_frozen() {
    let path = std::env::temp_dir().join(format!("wgpu-lstm-frozen-{}", std::process::id()));
    let device = &devices()[0];
    let mut saved = model(device, 0);
    saved.unfreeze(..1).unwrap();
    saved.freeze(3..).unwrap();
    saved.save(&path).unwrap();
    let mut loaded = Sequential::load(&path, device).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(loaded.summary(), saved.summary());
    let before = parts(&loaded);
    train(&mut loaded);
    assert_eq!(moved(&loaded, &before), [true, true, true, false, false]);
    train(&mut saved);
    assert!(parts(&loaded) == parts(&saved));
}

#[test]
fn layers_that_are_not_there_cannot_be_frozen() {
    let device = &devices()[0];
    let built = model(device, 9);
    for error in [built.freeze(..6), built.unfreeze(6..)] {
        assert!(matches!(error, Err(Error::Option { .. })), "{error:?}");
    }
    assert_eq!(
        built.freeze(2..9).unwrap_err().to_string(),
        "Sequential::freeze is 2..9, expected a range within 0..5, the numbers of the layers"
    );
    let model = Sequential::new(device).add(Dense::new(1));
    assert!(matches!(model.freeze(..), Err(Error::NotBuilt { .. })));
    // A layer that was built before it was added.
    let model = Sequential::new(device);
    let head = Dense::new(1).build(model.params(), 2).unwrap();
    let mut model = model.add(head.clone());
    model.build(2).unwrap();
    model.freeze(..).unwrap();
    let tape = Tape::new(model.params());
    let y = head.forward(&tape, &tensor(&[1.0, 2.0], [1, 2], device).into()).unwrap();
    tape.backward_from(&[(&y, tensor(&[1.0], [1, 1], device))]).unwrap();
    assert_eq!(model.params().gradient("dense.weight").unwrap(), [0.0; 2]);
}
