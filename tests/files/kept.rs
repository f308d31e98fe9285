//! What a program keeps with a model comes back with it.

use super::common::{Folder, devices};
use super::{place, sequences};
use std::collections::BTreeMap;
use wgpu_lstm::data::{MinMax, Sequences, Standardizer, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::train::{Adam, Checkpoint, Fit, Loss, Sgd};
use wgpu_lstm::{Error, Sequential};

fn model() -> Sequential {
    let mut model = Sequential::new(&devices()[0]).add(Lstm::new(3)).add(Dense::new(1));
    model.build(2).unwrap();
    model
}

#[test]
fn what_is_kept_is_in_the_file_bit_for_bit() {
    let (_folder, path) = place("kept");
    let x = sequences(2);
    let (standard, min_max) = (Standardizer::fit(&x).unwrap(), MinMax::fit(&x).unwrap());
    let words: BTreeMap<String, u32> = [("ünd \"so\"\n".into(), 3), (String::new(), 0)].into();
    let mut model = model();
    model.keep("", &min_max).unwrap();
    model.keep("scaler", &"another, at first").unwrap();
    model.keep("scaler", &standard).unwrap();
    model.keep("wörter/\"0\"", &words).unwrap();
    model.keep("numbers", &[0.1_f64, 5e-324, f64::MAX]).unwrap();
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let loaded = Sequential::load(&path, &devices()[0]).unwrap();
    for model in [&model, &loaded] {
        assert_eq!(model.kept::<Standardizer>("scaler").unwrap(), Some(standard.clone()));
        assert_eq!(model.kept::<MinMax>("").unwrap(), Some(min_max.clone()));
        assert_eq!(model.kept("wörter/\"0\"").unwrap(), Some(words.clone()));
        assert_eq!(model.kept("numbers").unwrap(), Some([0.1_f64, 5e-324, f64::MAX]));
        assert_eq!(model.kept::<String>("else").unwrap(), None);
        let names: Vec<_> = model.kept_names().collect();
        assert_eq!(names, ["", "numbers", "scaler", "wörter/\"0\""]);
        let error = model.kept::<Vec<String>>("scaler").unwrap_err().to_string();
        assert!(
            error.contains("\"scaler\" is no alloc::vec::Vec<alloc::string::String>"),
            "{error}"
        );
    }
    // The loaded model keeps it when it is saved again: the same bytes.
    loaded.save(&path).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
    // A map whose keys are no texts has no JSON.
    let pairs: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
    assert!(matches!(model.keep("pairs", &pairs), Err(Error::Custom(_))));
    assert_eq!(model.kept::<u8>("pairs").unwrap(), None);
}

/// Files without anything kept are as they were: `format.rs` reads one of version 0.1.
#[test]
fn a_file_without_anything_kept_is_as_before() {
    let (_folder, path) = place("none-kept");
    model().save(&path).unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("wgpu_lstm.model") && !text.contains("kept"));
    let loaded = Sequential::load(&path, &devices()[0]).unwrap();
    assert_eq!(loaded.kept_names().count(), 0);
    let old = format!("{}/tests/files/format_1.safetensors", env!("CARGO_MANIFEST_DIR"));
    let loaded = Sequential::load(old, &devices()[0]).unwrap();
    assert_eq!(loaded.kept::<u8>("scaler").unwrap(), None);
}

#[test]
fn a_checkpoint_has_it_and_trains_on() {
    let (_folder, path) = place("kept-checkpoint");
    let (x, y) = (sequences(2), Targets::values([0.5; 6], 1));
    let train = |epochs: usize| {
        let mut model = model();
        model.keep("scaler", &Standardizer::fit(&x).unwrap()).unwrap();
        model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
        let fit = Fit::new().epochs(epochs).resume(&path).callback(Checkpoint::new(&path));
        assert_eq!(model.fit(&x, &y, fit.quiet()).unwrap().epochs.len(), epochs);
        model
    };
    let _ = train(1);
    let model = train(2);
    let loaded = Sequential::load(&path, &devices()[0]).unwrap();
    assert!(loaded.kept::<Standardizer>("scaler").unwrap().is_some());
    assert_eq!(loaded.kept::<Standardizer>("scaler"), model.kept("scaler"));
    assert_eq!(loaded.predict(&x).unwrap(), model.predict(&x).unwrap());
}

/// Whether a number is a logit is said by the loss, which is no part of the file.
#[test]
fn a_loaded_model_has_the_classes_of_the_one_that_was_saved() {
    let folder = Folder::new("logits");
    std::fs::create_dir_all(folder.path()).unwrap();
    let (device, path) = (&devices()[0], folder.path().join("m.safetensors"));
    let mut model = Sequential::new(device).add(Lstm::new(3)).add(Dense::new(1));
    model.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
    model.build(1).unwrap();
    // Above 0, below a half.
    let names = model.params().names();
    for name in &names {
        let zeros = vec![0.0; model.params().get(name).unwrap().len()];
        model.params().set(name, &zeros).unwrap();
    }
    model.params().set("dense.bias", &[0.25]).unwrap();
    let x = Sequences::from_array(&[0.5; 4], [2, 2, 1]).unwrap();
    model.save(&path).unwrap();
    let mut loaded = Sequential::load(&path, device).unwrap();
    assert_eq!(model.predict(&x).unwrap().classes(), [1, 1]);
    assert_eq!(loaded.predict(&x).unwrap(), model.predict(&x).unwrap());
    // Again, and by another loss.
    loaded.save(&path).unwrap();
    let mut again = Sequential::load(&path, device).unwrap();
    assert_eq!(again.predict(&x).unwrap().classes(), [1, 1]);
    again.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    assert_eq!(again.predict(&x).unwrap().classes(), [0, 0]);
    loaded.compile(Sgd::new(0.1), Loss::BinaryCrossEntropy, &[]);
    assert_eq!(loaded.predict(&x).unwrap().classes(), [1, 1]);
}
