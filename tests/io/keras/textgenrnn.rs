//! textgenrnn 2.0.0 (MIT, Max Woolf): a model of texts, whose weights `scripts/fetch_models.sh textgenrnn` fetches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::io::keras;
use wgpu_lstm::nn::{Activation, AttentionPool, Dense, Embedding, Graph, Lstm};
use wgpu_lstm::{Device, Sequential};

/// Where the script puts models.
fn folder() -> PathBuf {
    let set = std::env::var_os("WGPU_LSTM_MODELS").map(PathBuf::from);
    set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models"))
}

const TOKENS: usize = 465;
const START: u32 = 464;
const WINDOW: usize = 40;

#[test]
fn textgenrnn_writes_what_it_does() {
    let path = folder().join("textgenrnn_weights.hdf5");
    if !path.exists() {
        eprintln!("skipped: no {}; scripts/fetch_models.sh textgenrnn fetches it", path.display());
        return;
    }
    let graph = Graph::new()
        .layer("rnn_1", "input", Lstm::new(128).return_sequences())
        .layer("rnn_2", "rnn_1", Lstm::new(128).return_sequences())
        .concat("rnn_concat", &["input", "rnn_1", "rnn_2"]);
    let mut model = Sequential::new(&Device::cpu().unwrap())
        .add(Embedding::new(TOKENS, 100))
        .add(graph)
        .add(AttentionPool::new())
        .add(Dense::new(TOKENS).activation(Activation::Softmax));
    model.build(1).unwrap();
    keras::load_weights(&path, &model).unwrap();

    let vocabulary = std::fs::read(folder().join("textgenrnn_vocab.json")).unwrap();
    let numbers: HashMap<String, u32> = serde_json::from_slice(&vocabulary).unwrap();
    let characters: HashMap<u32, &str> = numbers.iter().map(|(c, n)| (*n, &**c)).collect();
    let (mut tokens, mut text) = (vec![START], String::new());
    let expected = "[Specific] Can someone please remove the";
    while text.chars().count() < expected.len() {
        let last = &tokens[tokens.len().saturating_sub(WINDOW)..];
        let padded = [vec![0; WINDOW - last.len()], last.to_vec()].concat();
        let all = model.predict(&Sequences::from_tokens([padded]).unwrap()).unwrap();
        let mut ranked: Vec<_> = all.row(0).iter().copied().zip(0_u32..).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        if text.is_empty() {
            let likeliest = [("[", 0.11445), ("T", 0.09334), ("I", 0.09243), ("W", 0.07674)];
            for ((p, token), (character, expected)) in ranked.iter().zip(likeliest) {
                assert_eq!(characters[token], character);
                assert!((p - expected).abs() < 1e-5, "{character}: {p}, not {expected}");
            }
        }
        text.push_str(characters[&ranked[0].1]);
        tokens.push(ranked[0].1);
    }
    assert_eq!(text, expected);
}
