//! To write checkpoints as a training goes.

use super::Callback;
use super::csv::make_folder;
use super::monitor::{Mode, Monitor};
use crate::check::check_not_zero;
use crate::file::State;
use crate::train::run::Run;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes checkpoints as a training goes: after each epoch, or as its options say. [`crate::train::Fit::resume`] goes
/// on from one; [`crate::Sequential::load`] takes it as a model, if all layers can be saved. See
/// [`Run::save_checkpoint`].
///
/// ```
/// use std::time::Duration;
/// use wgpu_lstm::train::{Checkpoint, Fit};
/// let fit = Fit::new()
///     .epochs(100)
///     .validation_split(0.2)
///     .callback(Checkpoint::new("run/epoch_{epoch}").keep(3))
///     .callback(Checkpoint::new("run/best").best("val_loss"))
///     .callback(Checkpoint::new("run/latest").every(Duration::from_secs(600)));
/// # let _ = fit;
/// ```
#[derive(Debug)]
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct Checkpoint {
    path: PathBuf,
    when: When,
    keep: Option<usize>,
    best: Option<f32>,
    /// The files that were written and are there still, the oldest first.
    files: Vec<PathBuf>,
    last: Instant,
}

#[derive(Debug)]
enum When {
    Epochs(usize),
    Steps(u64),
    Time(Duration),
    Best(Monitor),
}

impl Checkpoint {
    /// Writes to this file after each epoch; its folder is made if it is not there. `{epoch}` in its name becomes the number of epochs done, and
    /// `{step}` that of the steps made since [`crate::Sequential::compile`]; without either, a checkpoint
    /// takes the place of the one before. There are no other names in braces, and no formats as in
    /// `{epoch:02}`. Folders that are missing are made.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            when: When::Epochs(1),
            keep: None,
            best: None,
            files: Vec::new(),
            last: Instant::now(),
        }
    }

    /// Writes after each `epochs` epochs, at least 1. Of this method and the next three the last called
    /// counts.
    pub fn every_epochs(mut self, epochs: usize) -> Self {
        self.when = When::Epochs(epochs);
        self
    }

    /// Writes after each `steps` steps, at least 1.
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.when = When::Steps(steps);
        self
    }

    /// Writes after the step during which so much time has passed since the checkpoint before.
    pub fn every(mut self, time: Duration) -> Self {
        self.when = When::Time(time);
        self
    }

    /// Writes after each epoch that is the best so far by `monitor`, a name as in
    /// [`super::EarlyStopping::new`]: Keras' `save_best_only`.
    pub fn best(mut self, monitor: impl Into<String>) -> Self {
        self.when = When::Best(Monitor::new("Checkpoint::best", monitor));
        self
    }

    /// Sets whether lower or higher is better for [`Checkpoint::best`], which comes before, where the name
    /// does not say it.
    pub fn mode(mut self, mode: Mode) -> Self {
        if let When::Best(monitor) = &mut self.when {
            monitor.mode = mode;
        }
        self
    }

    /// Keeps the last `checkpoints` of those written, at least 1, and deletes those before them, once the
    /// next is complete. All are kept by default. More than 1 needs `{epoch}` or `{step}` in the file's name.
    pub fn keep(mut self, checkpoints: usize) -> Self {
        self.keep = Some(checkpoints);
        self
    }

    fn request(&mut self, run: &mut Run<'_>) -> Result<()> {
        let path = match self.path.to_str() {
            Some(text) => {
                let epochs = run.history().epochs.len();
                let text = text.replace("{epoch}", &epochs.to_string());
                PathBuf::from(text.replace("{step}", &run.steps().to_string()))
            }
            None => self.path.clone(),
        };
        make_folder(&path)?;
        run.save_checkpoint(&path);
        self.files.retain(|file| *file != path);
        self.files.push(path);
        self.last = Instant::now();
        Ok(())
    }

    /// Checks the names in braces.
    fn check_names(&self) -> Result<()> {
        const KNOWN: [&str; 2] = ["{epoch}", "{step}"];
        let Some(text) = self.path.to_str() else { return Ok(()) };
        let rest = KNOWN.iter().fold(text.to_owned(), |rest, name| rest.replace(name, ""));
        if let Some(from) = rest.find('{')
            && let Some(len) = rest[from..].find('}')
        {
            return Err(Error::Option {
                option: "Checkpoint::new",
                found: rest[from..=from + len].to_owned(),
                expected: "no names in braces but {epoch} and {step}, without a format".into(),
            });
        }
        match self.keep {
            Some(keep) if keep > 1 && rest == text => Err(Error::Option {
                option: "Checkpoint::keep",
                found: keep.to_string(),
                expected:
                    "1, or {epoch} or {step} in the file's name: without either, a checkpoint \
                           takes the place of the one before"
                        .into(),
            }),
            _ => Ok(()),
        }
    }

    /// Deletes what is not to be kept. A checkpoint is written once all callbacks have run, so this is for
    /// the call after the one that asked for it.
    fn prune(&mut self) -> Result<()> {
        let many = self.files.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        for file in self.files.drain(..many) {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let path = file.display().to_string();
                    return Err(Error::Io { action: "delete", path, error: error.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Callback for Checkpoint {
    fn begin(&mut self, _run: &mut Run<'_>) -> Result<()> {
        match self.when {
            When::Epochs(epochs) => check_not_zero("Checkpoint::every_epochs", epochs)?,
            When::Steps(steps) => check_not_zero("Checkpoint::every_steps", steps)?,
            When::Time(_) | When::Best(_) => {}
        }
        check_not_zero("Checkpoint::keep", self.keep.unwrap_or(1))?;
        self.check_names()?;
        // A folder whose name has braces is made once they are filled.
        if !self.path.parent().is_some_and(|folder| folder.to_string_lossy().contains('{')) {
            make_folder(&self.path)?;
        }
        self.last = Instant::now();
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.prune()?;
        let due = match &self.when {
            When::Steps(steps) => run.steps().is_multiple_of(*steps),
            When::Time(time) => self.last.elapsed() >= *time,
            When::Epochs(_) | When::Best(_) => false,
        };
        if due { self.request(run) } else { Ok(()) }
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.prune()?;
        let due = match &self.when {
            When::Epochs(epochs) => run.history().epochs.len().is_multiple_of(*epochs),
            When::Best(monitor) => {
                let value = monitor.value(run)?;
                let better = monitor.improves(value, self.best, 0.0);
                if better {
                    self.best = Some(value);
                }
                better
            }
            When::Steps(_) | When::Time(_) => false,
        };
        if due { self.request(run) } else { Ok(()) }
    }

    fn end(&mut self, _run: &mut Run<'_>) -> Result<()> {
        self.prune()
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        if let Some(best) = self.best {
            state.set_values("best", vec![best]);
        }
        state.set_number("files", self.files.len() as f64);
        for (number, file) in self.files.iter().enumerate() {
            state.set_text(&format!("file{number}"), file.to_string_lossy());
        }
        Ok(state)
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        self.best = state.values("best").ok().and_then(|best| best.first().copied());
        let files = 0..state.number("files")? as usize;
        let file = |number| Ok(PathBuf::from(state.text(&format!("file{number}"))?));
        self.files = files.map(file).collect::<Result<_>>()?;
        Ok(())
    }
}
