//! Texts of classes of different sizes: in which of six languages is a line? Two of them are rare, and near to
//! others.
//!
//!     cargo run --release --example text

use std::fs::read_dir;
use wgpu_lstm::data::{Vocabulary, read_lines, train_test_split_stratified};
use wgpu_lstm::prelude::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/languages");

fn main() -> anyhow::Result<()> {
    // A file for each language, a text in each line.
    let mut files: Vec<_> =
        read_dir(DATA)?.map(|f| Ok(f?.path())).collect::<anyhow::Result<_>>()?;
    files.sort();
    let (mut lines, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (label, file) in files.iter().enumerate() {
        lines.extend(read_lines(file)?);
        labels.resize(lines.len(), label);
        names.push(file.file_stem().unwrap_or_default().to_string_lossy());
    }
    let (train, test) = train_test_split_stratified(&labels, 0.25, 1)?;

    let of = |rows: &[usize]| rows.iter().map(|&i| lines[i].as_str()).collect::<Vec<_>>();
    let vocabulary = Vocabulary::characters().fit(of(&train))?;
    let (x, test_x) = (vocabulary.sequences(of(&train))?, vocabulary.sequences(of(&test))?);
    let y = Targets::classes(&labels);
    let (y, test_y) = (y.select(&train)?, y.select(&test)?);

    let mut model = Sequential::new(&Device::auto()?)
        .add(Embedding::new(vocabulary.len(), 24))
        .add(Lstm::new(48).bidirectional(Merge::Concat).return_sequences())
        .add(Pool::new(Pooling::Mean))
        .add(Dropout::new(0.3))
        .add(Dense::new(names.len()).activation(Activation::Softmax));
    let loss = CrossEntropy::new().class_weights(y.class_weights(names.len())?);
    model.compile(Adam::new(5e-3), Loss::CrossEntropyWith(loss), &[Metric::F1(Average::Macro)]);
    model.keep("vocabulary", &vocabulary)?;
    model.fit(&x, &y, Fit::new().epochs(60).bucket_by_length(4))?;

    let matrix = model.confusion_matrix(&test_x, &test_y)?;
    println!("{matrix}\nF1 {:.3}, accuracy {:.3}", matrix.f1(Average::Macro), matrix.accuracy());
    let answers = model.predict(&test_x)?.classes();
    for (&row, answer) in test.iter().zip(answers).filter(|(row, a)| labels[**row] != *a) {
        println!("{} for {}: {}", names[answer], names[labels[row]], lines[row]);
    }
    Ok(model.save(std::env::temp_dir().join("languages.safetensors"))?)
}
