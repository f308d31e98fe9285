//! Files that are damaged, or lie: each a typed error, without a panic and without memory for what is not
//! there.

use super::common::devices;
use super::{bits, place, sequences};
use std::path::Path;
use wgpu_lstm::nn::{Dense, Lstm, Params};
use wgpu_lstm::{Device, Error, Sequential};

fn cpu() -> Device {
    devices()[0].clone()
}

/// A file of a header and of bytes behind it.
fn file(path: &Path, header: &str, bytes: usize) {
    let mut all = (header.len() as u64).to_le_bytes().to_vec();
    all.extend(header.bytes());
    all.resize(all.len() + bytes, 0);
    std::fs::write(path, all).unwrap();
}

/// What is wrong with a file, of weights or a model: the entry, and what was found there.
#[track_caller]
fn wrong(path: &Path) -> (String, String) {
    let params = Params::new(&cpu());
    let _ = Dense::new(1).build(&params, 1).unwrap();
    let of_weights = params.load(path).unwrap_err();
    let of_model = Sequential::load(path, &cpu()).err().unwrap();
    assert_eq!(of_weights, of_model);
    match of_model {
        Error::File { path: named, entry, found, .. } => {
            assert_eq!(named, path.display().to_string());
            (entry, found)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_that_is_none_is_told() {
    let (_folder, path) = place("headers");
    for (bytes, entry) in [
        (vec![], "the file's length"),
        (vec![1; 7], "the file's length"),
        (vec![0; 8], "the header"),
        (vec![0xff; 64], "the header's length"),
        ([&1000u64.to_le_bytes()[..], b"{}"].concat(), "the header's length"),
        (b"\x80\x02}q\x00not a safetensors file at all".to_vec(), "the header's length"),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(wrong(&path).0, entry, "{bytes:?}");
        let error = Sequential::load(&path, &cpu()).err().unwrap().to_string();
        assert!(error.contains("safetensors file"), "{error}");
    }
    let tensor = |from: usize, to: usize, shape: &str| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let one = tensor(0, 4, "[1]");
    let vast = "[4294967296,4294967296,4294967296]";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (header, bytes, said) in [
        ("not JSON".into(), 0, "invalid JSON"),
        ("[]".into(), 0, "invalid type"),
        (r#"{"a":1}"#.into(), 0, "invalid type"),
        (format!(r#"{{"a":{deep}}}"#), 0, "invalid"),
        (r#"{"__metadata__":"text"}"#.into(), 0, "invalid type"),
        (r#"{"__metadata__":{"a":{"b":1}}}"#.into(), 0, "invalid type"),
        (r#"{"__metadata__":{"a":"b","a":"c"}}"#.into(), 0, r#"two entries are called \"a\""#),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0, "duplicate field"),
        (format!(r#"{{"a":{one},"a":{one}}}"#), 4, r#"two entries are called \"a\""#),
        (format!(r#"{{"a":{one},"b":{one}}}"#), 4, "invalid offset"),
        (format!(r#"{{"a":{}}}"#, tensor(4, 8, "[1]")), 8, "invalid offset"),
        (format!(r#"{{"a":{}}}"#, tensor(0, 4, "[2]")), 4, "invalid shape"),
        (format!(r#"{{"a":{}}}"#, tensor(4, 0, "[1]")), 4, "invalid offset"),
        (format!(r#"{{"a":{}}}"#, tensor(0, 4, vast)), 4, "overflow"),
        (format!(r#"{{"a":{}}}"#, tensor(0, 4, "[-1]")), 4, "invalid value"),
        (one.replace("F32", "F33").replace('{', r#"{"a":{"#) + "}", 4, "unknown variant"),
    ] {
        file(&path, &header, bytes);
        let (entry, found) = wrong(&path);
        assert_eq!(entry, "the header", "{found}");
        assert!(found.contains(&said.replace('\\', "")), "{said}: {found}");
    }
    // As many bytes as the header says, no more and no fewer; sizes are not believed.
    for (end, bytes) in [(4, 3), (4, 5), (1 << 60, 4)] {
        let header = format!(r#"{{"a":{}}}"#, tensor(0, end, &format!("[{}]", end / 4)));
        file(&path, &header, bytes);
        assert_eq!(wrong(&path).0, "the file's length");
    }
}

fn saved(path: &Path) -> Vec<u8> {
    let mut model = Sequential::new(&cpu()).add(Lstm::new(2)).add(Dense::new(1));
    model.build(1).unwrap();
    model.save(path).unwrap();
    std::fs::read(path).unwrap()
}

/// The file with another text in its header, whose length is mended.
fn replaced(good: &[u8], from: &str, to: &str) -> Vec<u8> {
    let end = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&good[8..end]).unwrap();
    assert!(header.contains(from), "{from}: {header}");
    let mut header = header.replacen(from, to, 1).trim_end().to_owned();
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &good[end..]].concat()
}

#[test]
fn a_model_that_is_none_is_told() {
    let (_folder, path) = place("descriptions");
    let good = saved(&path);
    for (from, to, entry, said) in [
        (r#"format":"1""#, r#"format":"2""#, "the text wgpu_lstm.format", "\"2\""),
        (r#"format":"1""#, r#"format":"one""#, "the text wgpu_lstm.format", "\"one\""),
        ("wgpu_lstm.format", "other.format", "the text wgpu_lstm.format", "missing"),
        ("wgpu_lstm.model", "other.model", "the text wgpu_lstm.model", "missing"),
        (r#"{\"input_size"#, r#"{\"size"#, "the text wgpu_lstm.model", "unknown field `size`"),
        (r#"Full"#, r#"Half"#, "the text wgpu_lstm.model", "unknown variant `Half`"),
        (r#"kind\":\"lstm"#, r#"kind\":\"gru"#, "layer 1 of the model", "of the kind \"gru\""),
        (r#"hidden_size"#, r#"hidden"#, "layer 1 of the model", "unknown field `hidden`"),
        (
            r#"weight_drop\\\":0.0"#,
            r#"weight_drop\\\":\\\"\\\""#,
            "layer 1 of the model",
            "invalid type",
        ),
        (r#"units\\\":1"#, r#"units\\\":-1"#, "layer 2 of the model", "invalid value"),
        (r#"units\\\":1"#, r#"units\\\":0"#, "the model", "Dense::units is 0"),
        (r#"units\\\":1"#, r#"units\\\":2"#, "the model", "Sequential::load"),
        (r#"hidden_size\\\":2"#, r#"hidden_size\\\":4096"#, "the model", "values"),
        (r#"num_layers\\\":1"#, r#"num_layers\\\":999999"#, "the model", "values"),
        (r#"input_size\":1"#, r#"input_size\":0"#, "the model", "Lstm::input_size is 0"),
        (r#"bias\\\":true"#, r#"bias\\\":false"#, "layer 1 of the model", "one of 3 parameters"),
        (r#"\"dense.bias\""#, r#"\"dense.weight\""#, "parameter dense.weight", "one of two"),
        (r#"\"dense.bias\""#, r#"\"dense.other\""#, "tensor dense.bias", "of no parameter"),
        (r#"time_major\\\":false"#, r#"time_major\\\":true"#, "the model", "Lstm::time_major"),
    ] {
        std::fs::write(&path, replaced(&good, from, to)).unwrap();
        match Sequential::load(&path, &cpu()).err().unwrap_or_else(|| panic!("{from} -> {to}")) {
            Error::File { entry: at, found, .. } => {
                assert_eq!(at, entry, "{from} -> {to}: {found}");
                assert!(found.contains(said), "{from} -> {to}: {found}");
            }
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
    // An option that a later version would have left out is what it is by default.
    std::fs::write(&path, replaced(&good, r#"\\\"recompute\\\":false,"#, "")).unwrap();
    assert_eq!(Sequential::load(&path, &cpu()).unwrap().params().names().len(), 5);
}

#[test]
fn damage_anywhere_is_an_error_or_another_model_but_no_panic() {
    let (_folder, path) = place("damage");
    let good = saved(&path);
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for len in 0..good.len() {
        std::fs::write(&path, &good[..len]).unwrap();
        let error = Sequential::load(&path, &cpu()).err().unwrap();
        assert!(matches!(error, Error::File { .. }), "{len}: {error}");
    }
    let (mut loaded, mut refused) = (0, 0);
    for at in 0..header {
        for flip in [1, 0x10, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            std::fs::write(&path, &bad).unwrap();
            match Sequential::load(&path, &cpu()) {
                // Such as another seed, or another digit of an option.
                Ok(model) => loaded += usize::from(!bits(&model, &sequences(1)).is_empty()),
                Err(Error::File { .. }) => refused += 1,
                Err(other) => panic!("byte {at}: {other:?}"),
            }
        }
    }
    assert!(refused > 10 * loaded, "{refused} of {} are refused", refused + loaded);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let (folder, path) = place("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    for bad in [&*path, Path::new("/dev/zero"), folder.path()] {
        let params = Params::new(&cpu());
        let _ = Dense::new(1).build(&params, 1).unwrap();
        let error = params.load(bad).unwrap_err();
        assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
    }
    assert!(matches!(saved_to(&path), Err(Error::Io { action: "write", .. })));
}

#[cfg(unix)]
fn saved_to(path: &Path) -> Result<(), Error> {
    let params = Params::new(&cpu());
    let _ = Dense::new(1).build(&params, 1).unwrap();
    params.save(path)
}
