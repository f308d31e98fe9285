//! Every file of `corpus/` through the reader of its folder: those that real writers made are read, others
//! (`bad-…`, which once crashed one) give an error or a value; and so do all of them with a byte changed, or cut
//! off, and what is another reader's. `scripts/fuzz.sh` looks for more.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use wgpu_lstm::data::{Truncating, Vocabulary};
use wgpu_lstm::nn::{Dense, Embedding, LayerNorm, Lstm, Merge, Pool, Pooling, Repeat};
use wgpu_lstm::testing::read::{READERS, Reader};
use wgpu_lstm::{Device, Sequential};

/// What one file may take in a build without optimizations, on a machine that has other work.
const LONGEST: Duration = Duration::from_secs(20);

fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "io", "corpus"].iter().collect()
}

/// The files by folder and name.
fn corpus() -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
    let names = |folder: &PathBuf| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
    };
    let files = |folder: &PathBuf| names(folder).map(|(n, path)| (n, fs::read(path).unwrap()));
    let folders: Vec<_> = names(&root()).filter(|(_, path)| path.is_dir()).collect();
    let folders = folders.into_iter();
    folders.map(|(name, folder)| (name, files(&folder).collect())).collect()
}

/// Reads bytes, within the time that a file may take.
fn read(reader: Reader, what: &str, bytes: &[u8]) -> wgpu_lstm::Result<()> {
    let start = Instant::now();
    let found = reader(bytes);
    let took = start.elapsed();
    assert!(took < LONGEST, "{what}: {took:?}");
    found
}

#[test]
fn every_reader_has_files_of_real_writers_and_reads_them() {
    let corpus = corpus();
    for (name, reader) in READERS {
        let files = corpus.get(*name).unwrap_or_else(|| panic!("corpus/{name} is missing"));
        let made: Vec<_> = files.iter().filter(|(file, _)| !file.starts_with("bad-")).collect();
        assert!(!made.is_empty(), "corpus/{name} has no file of a real writer");
        for (file, bytes) in made {
            let what = format!("corpus/{name}/{file}");
            read(*reader, &what, bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    let size: usize = corpus.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    assert!(size < 100_000, "{size} bytes: the corpus is to stay small");
}

#[test]
fn what_is_damaged_neither_panics_nor_takes_long() {
    let corpus = corpus();
    for (name, reader) in READERS {
        for (folder, files) in &corpus {
            for (file, bytes) in files {
                let what = format!("corpus/{folder}/{file} as {name}");
                // Another reader's files are whole.
                let _ = read(*reader, &what, bytes);
                if folder == name {
                    for damaged in damaged(bytes) {
                        let _ = read(*reader, &what, &damaged);
                    }
                }
            }
        }
    }
}

/// The bytes cut off at some places, and with one changed at others; the same each time.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let place = move |i: usize| ((i * 0x9e37_79b1) >> 7) % bytes.len().max(1);
    let cut = (0..24).map(move |i| bytes[..place(i).min(bytes.len())].to_vec());
    let changed = (0..48).map(move |i| {
        let mut bytes = bytes.to_vec();
        if let Some(byte) = bytes.get_mut(place(i + 100)) {
            *byte = [0, 1, 0x7f, 0x80, 0xff, *byte ^ 1, *byte ^ 0x80, byte.wrapping_add(1)][i % 8];
        }
        bytes
    });
    cut.chain(changed)
}

/// Those of this crate; `make_corpus.py` has the others.
#[test]
#[ignore = "writes the files that the others read"]
fn write_our_own() {
    let device = Device::cpu_with_threads(1).unwrap();
    let model = |name: &str, model: Sequential, input_size: usize| {
        let mut model = model.seed(3);
        model.build(input_size).unwrap();
        model.save(root().join("model").join(name)).unwrap();
    };
    let new = || Sequential::new(&device);
    model("small.safetensors", new().add(Lstm::new(1)).add(Dense::new(1)), 1);
    let both = Lstm::new(1).num_layers(2).bidirectional(Merge::Sum).peepholes().return_sequences();
    let rest = new().add(Embedding::new(3, 2).mask_zero()).add(both).add(LayerNorm::new());
    model("tokens.safetensors", rest.add(Pool::new(Pooling::Mean)).add(Repeat::new(2)), 1);
    let vocabulary = Vocabulary::words().max_length(5, Truncating::Post).fit(["the dog, the cat"]);
    let json = serde_json::to_vec(&vocabulary.unwrap()).unwrap();
    let path = root().join("vocabulary/words.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, json).unwrap();
}
