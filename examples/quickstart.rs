//! Who speaks? An LSTM tells nine speakers apart by the frames of their voices, from utterances
//! of different lengths (Japanese Vowels, UCI; see data/README.md).
//!
//!     cargo run --release --example quickstart
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device;
//! `SEED=3` other first values and another order.

use anyhow::{Context, Result, ensure};
use wgpu_lstm::prelude::*;

fn main() -> Result<()> {
    let (train, test) = load(include_bytes!("data/japanese_vowels.bin"))?;
    let seed = std::env::var("SEED").map_or(Ok(0), |s| s.parse()).context("SEED")?;
    let device = Device::auto()?;
    println!("device: {device}");

    let mut model = Sequential::new(&device)
        .seed(seed)
        .add(Lstm::new(128))
        .add(Dense::new(9).activation(Activation::Softmax));
    model.compile(Adam::new(3e-3), Loss::CrossEntropy, &[Metric::Accuracy]);
    model.build(train.0.features())?;
    println!("{}", model.summary());

    model.fit(&train.0, &train.1, Fit::new().epochs(60).batch_size(32).seed(seed))?;
    let result = model.evaluate(&test.0, &test.1)?;
    println!("test accuracy: {:.1} %", 100.0 * result.metrics[0]);
    Ok(())
}

pub(crate) type Set = (Sequences, Targets);

/// Reads the utterances to train and to test on; the format is in data/README.md.
pub(crate) fn load(bytes: &[u8]) -> Result<(Set, Set)> {
    let mut words = bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    let mut word = || words.next().context("the file ends early");
    let header = [(); 5].map(|()| word().map(u32::from_le_bytes));
    let [magic, n_train, n_test, features, _] = header;
    ensure!(magic? == 0x4C56_5041, "not the vowels");
    let features = features? as usize;
    let mut set = |utterances| -> Result<Set> {
        let (mut sequences, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..utterances {
            labels.push(u32::from_le_bytes(word()?));
            let frames = u32::from_le_bytes(word()?) as usize;
            let values = (0..frames * features).map(|_| word().map(f32::from_le_bytes));
            sequences.push(values.collect::<Result<Vec<_>>>()?);
        }
        Ok((Sequences::new(features, sequences)?, Targets::classes(labels)))
    };
    Ok((set(n_train?)?, set(n_test?)?))
}
