//! When checkpoints are asked for, and which are kept.

use super::*;
use crate::common::Folder;
use std::path::PathBuf;
use std::time::Duration;
use wgpu_lstm::Error;
use wgpu_lstm::train::{Checkpoint, State};

/// The names of the files that a checkpoint's state has.
fn files(state: &State) -> Vec<String> {
    let files = 0..state.number("files").unwrap() as usize;
    let path = |number| PathBuf::from(state.text(&format!("file{number}")).unwrap());
    files.map(|number| path(number).file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The files that were asked for in a training of 4 epochs of 3 steps.
fn asked(of: impl FnOnce(Checkpoint) -> Checkpoint, name: &str) -> Vec<String> {
    let folder = Folder::new(&format!("checkpoints-{}", name.len()));
    std::fs::create_dir_all(folder.path()).unwrap();
    let (x, y) = waves();
    let mut checkpoint = of(Checkpoint::new(folder.path().join(name)));
    let fit = Fit::new().epochs(4).batch_size(8).quiet().callback(&mut checkpoint);
    model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit).unwrap();
    files(&checkpoint.state().unwrap())
}

#[test]
fn they_are_asked_for_as_the_options_say() {
    assert_eq!(asked(|c| c, "a{epoch}"), ["a1", "a2", "a3", "a4"]);
    assert_eq!(asked(|c| c.every_epochs(3), "ab{epoch}"), ["ab3"]);
    assert_eq!(asked(|c| c.every_steps(5), "abc{step}_{epoch}"), ["abc5_1", "abc10_3"]);
    let always = |c: Checkpoint| c.every(Duration::ZERO).keep(3);
    assert_eq!(asked(always, "abcd{step}"), ["abcd9", "abcd10", "abcd11", "abcd12"][1..]);
    assert_eq!(asked(|c| c.every(Duration::MAX), "abcde{step}"), [""; 0]);
    assert_eq!(asked(|c| c.every_steps(1), "abcdef"), ["abcdef"]);
}

#[test]
fn the_best_are_asked_for_and_the_last_of_them_kept() {
    let losses = [0.9, 0.95, 0.7, 0.7, 0.6, 0.8, 0.5];
    let folder = Folder::new("checkpoints-kept");
    std::fs::create_dir_all(folder.path()).unwrap();
    let new = || Checkpoint::new(folder.path().join("{epoch}")).best("val_loss").keep(2);
    let (mut checkpoint, mut epoch) = (new(), 0);
    // Whatever is written, and when: before it there is such a file for each epoch.
    struct Files<'a>(&'a std::path::Path, &'a mut usize);
    impl Callback for Files<'_> {
        fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
            *self.1 = run.history().epochs.len();
            std::fs::write(self.0.join(self.1.to_string()), "").unwrap();
            Ok(())
        }
    }
    struct Both<A, B>(A, B);
    impl<A: Callback, B: Callback> Callback for Both<A, B> {
        fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
            self.0.after_epoch(run)?;
            self.1.after_epoch(run)
        }
        fn end(&mut self, run: &mut Run<'_>) -> Result<()> {
            self.1.end(run)
        }
    }
    played(&losses, Both(Files(folder.path(), &mut epoch), &mut checkpoint)).unwrap();
    assert_eq!(epoch, 7);
    let state = checkpoint.state().unwrap();
    assert_eq!(files(&state), ["5", "7"]);
    let mut left: Vec<_> =
        folder.files().iter().map(|f| f.file_name().unwrap().to_owned()).collect();
    left.sort();
    // Epochs 2, 4 and 6 were not the best, 1 and 3 no longer.
    assert_eq!(left, ["2", "4", "5", "6", "7"]);
    let mut resumed = new();
    resumed.set_state(&state).unwrap();
    assert_eq!(resumed.state().unwrap(), state);
    played(&[0.55, 0.5], &mut resumed).unwrap();
    assert_eq!(resumed.state().unwrap(), state);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let new = || Checkpoint::new("never");
    let named = |name: &str| Checkpoint::new(name);
    for (checkpoint, name) in [
        (named("k_{epoch:02}"), "Checkpoint::new"),
        (named("k_{val_loss}_{epoch}"), "Checkpoint::new"),
        (named("{date}/{step}"), "Checkpoint::new"),
        (named("never").keep(2), "Checkpoint::keep"),
        (new().every_epochs(0), "Checkpoint::every_epochs"),
        (new().every_steps(0), "Checkpoint::every_steps"),
        (new().keep(0), "Checkpoint::keep"),
        (new().best("val_acc"), "Checkpoint::best"),
    ] {
        match played(&[0.5], checkpoint).unwrap_err() {
            Error::Option { option, .. } => assert_eq!(option, name),
            error => panic!("{error}"),
        }
    }
    let error = played(&[0.5], named("k_{epoch}_{epoch:02}")).unwrap_err().to_string();
    for part in ["{epoch:02}", "{epoch} and {step}"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn folders_are_made() {
    let folder = Folder::new("checkpoints-folders");
    let train = |path: &str| {
        let (x, y) = waves();
        let checkpoint = Checkpoint::new(folder.path().join(path)).keep(1);
        let fit = Fit::new().epochs(2).quiet().callback(checkpoint);
        model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit)
    };
    train("a/b/k").unwrap();
    train("c/{epoch}/k").unwrap();
    let is_file = |path: &str| folder.path().join(path).is_file();
    assert!(is_file("a/b/k") && is_file("c/2/k"));
    assert!(!folder.path().join("c/{epoch}").exists());
    match train("a/b/k/below/k").unwrap_err() {
        Error::Io { path, .. } => {
            assert_eq!(path, folder.path().join("a/b/k/below").display().to_string());
        }
        error => panic!("{error}"),
    }
}

#[test]
fn their_folder_is_made() {
    let folder = Folder::new("checkpoints-folder");
    let path = folder.path().join("run/{epoch}/model");
    let (x, y) = waves();
    let fit = Fit::new().epochs(2).quiet().callback(Checkpoint::new(path));
    model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit).unwrap();
    for epoch in ["1", "2"] {
        assert!(folder.path().join("run").join(epoch).join("model").exists());
    }
}
