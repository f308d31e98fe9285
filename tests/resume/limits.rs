//! What ends a call of `fit`, and what a training that resumes makes of it.

use super::{bits, data, fit, folder, model};
use crate::common::devices;
use std::path::Path;
use std::time::Duration;
use wgpu_lstm::train::{Callback, Checkpoint, Ema, Fit, Metric, Run};
use wgpu_lstm::{Device, Error, Sequential};

fn run(device: &Device, path: &Path, fit: Fit<'_>) -> (Sequential, wgpu_lstm::train::History) {
    let (x, y) = data();
    let mut model = model(device);
    let history = model.fit(&x, &y, fit.resume(path)).unwrap();
    (model, history)
}

/// Killed after the checkpoint of the step that stopped it, before the end of that epoch: 6 steps are one.
#[test]
fn the_epoch_of_the_last_step_is_ended() {
    struct Stop;
    impl Callback for Stop {
        fn begin(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
            self.after_step(run)
        }
        fn after_step(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
            if run.steps() == 8 {
                run.stop("eight");
            }
            Ok(())
        }
    }
    let folder = folder("resume_limits");
    let device = &devices()[0];
    for own in [false, true] {
        let path = folder.path().join(format!("{own}"));
        let fit = || {
            let fit = fit(4).average(Ema::new(0.8)).callback(Checkpoint::new(&path).every_steps(1));
            if own { fit.callback(Stop) } else { fit.max_steps(8) }
        };
        let (whole, history) = run(device, &path, fit());
        assert_eq!(history.epochs.len(), 2);
        let (again, found) = run(device, &path, fit());
        assert_eq!(found.stopped, history.stopped);
        assert_eq!(bits(&again, &found), bits(&whole, &history), "{own}");
    }
}

#[test]
fn limits_are_of_a_call() {
    let folder = folder("resume_limits_more");
    let device = &devices()[0];
    let path = folder.path().join("steps");
    let fit = |steps| fit(4).callback(Checkpoint::new(&path)).max_steps(steps);
    // The second epoch is cut; those after it are whole.
    for (steps, epochs) in [(8, 2), (8, 2), (10, 3), (14, 4), (100, 4)] {
        let (_, history) = run(device, &path, fit(steps));
        assert_eq!(history.epochs.len(), epochs, "{steps}");
        assert_eq!(history.stopped.is_some(), steps < 100, "{steps}");
    }
    let path = folder.path().join("time");
    for epochs in 1..=3 {
        let fit = super::fit(3).callback(Checkpoint::new(&path)).max_time(Duration::ZERO);
        assert_eq!(run(device, &path, fit).1.epochs.len(), epochs);
    }
}

#[test]
fn a_checkpoint_of_the_beginning_is_written_there() {
    struct First<'a>(&'a Path, bool);
    impl Callback for First<'_> {
        fn begin(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
            run.save_checkpoint(self.0);
            Ok(())
        }
        fn before_step(&mut self, _: &mut Run<'_>) -> Result<(), Error> {
            self.1 = self.0.exists();
            if self.1 { Err(Error::custom("the power went off")) } else { Ok(()) }
        }
    }
    let folder = folder("resume_first");
    let path = folder.path().join("first");
    let (x, y) = data();
    let device = &devices()[0];
    let mut first = First(&path, false);
    let error = model(device).fit(&x, &y, fit(2).callback(&mut first)).unwrap_err();
    assert!(matches!(error, Error::Custom(_)) && first.1, "{error}");
    let (whole, history) = run(device, &folder.path().join("never"), fit(2));
    let (found, again) = run(device, &path, fit(2));
    assert_eq!(bits(&found, &again), bits(&whole, &history));
}

/// Where no epoch is left, the model has the averages all the same.
#[test]
fn averages_are_there_without_an_epoch() {
    let folder = folder("resume_average");
    let path = folder.path().join("average");
    let device = &devices()[0];
    // The last checkpoint is that of the second epoch's fourth step, of six.
    let ema = || Ema::new(0.8);
    let steps = Checkpoint::new(&path).every_steps(10);
    let (trained, _) = run(device, &path, fit(2).average(ema()).callback(steps));
    let mut held = ema();
    let steps = Checkpoint::new(&path).every_steps(10);
    let (found, history) = run(device, &path, fit(1).average(&mut held).callback(steps));
    assert_eq!(history.epochs.len(), 1);
    let averages = bits(&found, &history);
    wgpu_lstm::train::Averaging::restore(&mut held, found.params()).unwrap();
    assert_ne!(bits(&found, &history), averages);
    drop(trained);
}

#[test]
fn other_averages_and_metrics_are_refused() {
    let folder = folder("resume_averages");
    let path = folder.path().join("with");
    let device = &devices()[0];
    let (x, y) = data();
    let with = || fit(1).callback(Checkpoint::new(&path)).resume(&path);
    model(device).fit(&x, &y, with().average(Ema::new(0.8))).unwrap();
    let refused = |mut model: Sequential, fit: Fit<'_>, word: &str| {
        let error = model.fit(&x, &y, fit).unwrap_err();
        assert!(
            matches!(&error, Error::Option { option: "Fit::resume", found, .. } if found.contains(word)),
            "{error}"
        );
    };
    refused(model(device), with(), "an average");
    let mut other = model(device);
    let adam = wgpu_lstm::train::Adam::new(0.02);
    other.compile(adam, wgpu_lstm::train::Loss::BinaryCrossEntropy, &[Metric::LogLoss]);
    refused(other, with().average(Ema::new(0.8)), "metrics [\"accuracy\"]");
}

/// What is frozen goes along, also where a callback changes it.
#[test]
fn layers_that_thaw_on_the_way_resume() {
    struct Cut<'a>(u64, &'a Path);
    impl Callback for Cut<'_> {
        fn after_step(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
            if run.steps() == self.0 {
                run.save_checkpoint(self.1);
                run.stop("cut");
            }
            Ok(())
        }
    }
    let folder = folder("resume_frozen");
    let device = &devices()[0];
    let (x, y) = data();
    let thawing = || {
        fit(4).on_epoch(|run| match run.epoch() {
            1 => run.model().unfreeze(..),
            _ => Ok(()),
        })
    };
    let frozen = || {
        let mut model = model(device);
        model.build(x.features()).unwrap();
        model.freeze(..1).unwrap();
        model
    };
    let mut whole = frozen();
    let history = whole.fit(&x, &y, thawing()).unwrap();
    for step in [3, 11, 13, 20] {
        let path = folder.path().join(format!("{step}"));
        frozen().fit(&x, &y, thawing().callback(Cut(step, &path))).unwrap();
        let mut again = frozen();
        let found = again.fit(&x, &y, thawing().callback(Cut(0, &path)).resume(&path)).unwrap();
        assert_eq!(bits(&again, &found), bits(&whole, &history), "{step}");
    }
}
