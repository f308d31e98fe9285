//! What a training writes for other programs.

use super::*;
use crate::common::Folder;
use std::fs;
use std::path::Path;
use wgpu_lstm::Error;
use wgpu_lstm::train::{CsvLog, TensorBoard};

/// Trains for some epochs with a callback; returns the losses and those of the validation.
fn train(model: &mut Sequential, epochs: usize, callback: impl Callback) -> Vec<[f32; 2]> {
    let (x, y) = waves();
    let fit = Fit::new().epochs(epochs).batch_size(8).validation_split(0.2).quiet();
    let history = model.fit(&x, &y, fit.callback(callback)).unwrap();
    let losses = |name: &str| history.epochs.iter().map(|e| e.value(name).unwrap()).collect();
    let (training, validation): (Vec<_>, Vec<_>) = (losses("loss"), losses("val_loss"));
    training.into_iter().zip(validation).map(|(a, b)| [a, b]).collect()
}

fn new() -> Sequential {
    model(&poisoned_cpu(), Sgd::new(0.1))
}

/// The rows of a file, each as its epoch, losses and rate, all of which read back as they were.
fn rows(path: &Path) -> Vec<(usize, [f32; 2], f32)> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("epoch,loss,val_loss,learning_rate,seconds"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(cells[4].parse::<f64>().unwrap() >= 0.0);
        let [a, b, rate] = [1, 2, 3].map(|at| cells[at].parse::<f32>().unwrap());
        (cells[0].parse().unwrap(), [a, b], rate)
    };
    lines.map(row).collect()
}

#[test]
fn a_csv_file_has_a_row_for_each_epoch() {
    let folder = Folder::new("csv");
    fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("log.csv");
    fs::write(&path, "what another training left").unwrap();
    let (mut model, mut log) = (new(), CsvLog::new(&path));
    let mut losses = train(&mut model, 3, &mut log);
    let expect = |losses: &[[f32; 2]]| {
        let numbered = losses.iter().enumerate();
        assert_eq!(rows(&path), numbered.map(|(i, l)| (i + 1, *l, 0.1)).collect::<Vec<_>>());
    };
    expect(&losses);
    // A checkpoint is made here, and another training epoch lost.
    let state = log.state().unwrap();
    train(&mut new(), 1, &mut log);
    drop(log);
    let mut resumed = CsvLog::new(&path);
    resumed.set_state(&state).unwrap();
    assert_eq!(resumed.state().unwrap(), state);
    losses.extend(train(&mut model, 2, &mut resumed));
    expect(&losses);
    // By reference it goes on without a state; a new one begins anew.
    losses.extend(train(&mut model, 1, &mut resumed));
    expect(&losses);
    expect(&train(&mut model, 1, CsvLog::new(&path)));
    // What was kept is gone: there is a header again.
    fs::remove_file(&path).unwrap();
    let mut resumed = CsvLog::new(&path);
    resumed.set_state(&state).unwrap();
    train(&mut model, 1, resumed);
    assert_eq!(rows(&path)[0].0, 4);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let folder = Folder::new("no-csv");
    let (x, y) = waves();
    let log = || CsvLog::new(folder.path().join("there/is/none.csv"));
    fs::write(folder.path(), "a file").unwrap();
    let error = new().fit(&x, &y, Fit::new().quiet().callback(log())).unwrap_err();
    match &error {
        Error::Io { action: "write", path, .. } => {
            assert_eq!(*path, folder.path().join("there/is").display().to_string());
        }
        _ => panic!("{error}"),
    }
    // Where there is nothing, the folders are made.
    fs::remove_file(folder.path()).unwrap();
    train(&mut new(), 1, log());
    assert_eq!(rows(&folder.path().join("there/is/none.csv"))[0].0, 1);
    fs::remove_dir_all(folder.path()).unwrap();
    fs::write(folder.path(), "a file").unwrap();
    let board = TensorBoard::new(folder.path());
    let error = new().fit(&x, &y, Fit::new().quiet().callback(board)).unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
    let board = TensorBoard::new(folder.path()).every_steps(0);
    let error = new().fit(&x, &y, Fit::new().quiet().callback(board)).unwrap_err();
    assert!(matches!(error, Error::Option { option: "TensorBoard::every_steps", .. }), "{error}");
}

/// The data of each record of the files of a folder, in the order of their names.
fn records(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        assert!(file.file_name().unwrap().to_str().unwrap().contains("tfevents"));
        let bytes = fs::read(file).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            all.push(rest[12..12 + length].to_vec());
            rest = &rest[12 + length + 4..];
        }
    }
    all
}

/// Whether a record has a scalar with this tag and value.
fn has(record: &[u8], tag: &str, value: f32) -> bool {
    let mut wanted = vec![0x0A, tag.len() as u8];
    wanted.extend(tag.as_bytes());
    wanted.push(0x15);
    wanted.extend(value.to_le_bytes());
    record.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn tensorboard_gets_each_epoch_and_some_steps() {
    let folder = Folder::new("board");
    let mut model = new();
    let losses = train(&mut model, 3, TensorBoard::new(folder.path()).every_steps(2));
    let (training, validation) =
        (records(&folder.path().join("train")), records(&folder.path().join("validation")));
    // The version; three epochs; of six steps each second one.
    assert_eq!((training.len(), validation.len()), (1 + 3 + 3, 1 + 3));
    for [loss, val_loss] in losses {
        let found =
            training.iter().filter(|r| has(r, "loss", loss) && has(r, "learning_rate", 0.1));
        assert_eq!(found.count(), 1);
        assert_eq!(validation.iter().filter(|r| has(r, "loss", val_loss)).count(), 1);
    }
    let steps = training.iter().filter(|r| has(r, "batch_learning_rate", 0.1));
    assert_eq!(steps.count(), 3);
    // A training that goes on says from which step, in a file behind the first.
    train(&mut model, 1, TensorBoard::new(folder.path()).histograms());
    let resumed = records(&folder.path().join("train"));
    assert_eq!(resumed[..7], training[..]);
    // The version, the start, the epoch, and a histogram for each parameter.
    assert_eq!(resumed.len(), 7 + 3 + model.params().names().len());
    assert!(resumed[8].ends_with(&[0x10, 7, 0x3A, 2, 8, 1]), "{:?}", resumed[8]);
    let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
    assert!(resumed[10..].iter().zip(model.params().names()).all(|(r, n)| text(r).contains(&n)));
}

/// Writes logs into the folder that the environment names, if it does, for TensorBoard's reader and for
/// pandas: `python tests/vectors/make_events.py FOLDER`. Twice 3 epochs and once 2 of 2 steps each.
#[test]
fn logs_for_other_programs() {
    let Some(folder) = std::env::var_os("WGPU_LSTM_TEST_LOGS") else { return };
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).unwrap();
    let mut model = new();
    let mut log = CsvLog::new(folder.join("log.csv"));
    println!("{:?}", train(&mut model, 3, &mut log));
    let board = || TensorBoard::new(folder.join("board")).every_steps(1).histograms();
    println!("{:?}", train(&mut model, 3, board()));
    println!("{:?}", train(&mut model, 2, board()));
}
