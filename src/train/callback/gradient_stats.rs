//! Statistics of gradients and activations: where a training vanishes, explodes or dies.

use super::Callback;
use super::csv::{CsvFile, number, quoted};
use super::events::{EventFile, Value};
use crate::autograd::{Tape, Var};
use crate::check::check_not_zero;
use crate::data::Sequences;
use crate::file::State;
use crate::nn::{Own, unpacked};
use crate::train::batch;
use crate::train::run::Run;
use crate::train::sequential::{Sequential, other_features};
use crate::{Error, Result};
use std::fmt;
use std::path::Path;

/// What many numbers have in common: the gradient of a parameter, or what a layer gave.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Whose they are: `gradient/` and the parameter's name, or `activation/` and the layer's kind, with a
    /// number where there are several.
    pub name: String,
    /// The square root of the sum of squares of those that are finite.
    pub norm: f32,
    /// Their mean.
    pub mean: f32,
    /// The largest absolute value of them.
    pub max: f32,
    /// The share, from 0 to 1, of all numbers that are exactly 0.
    pub zeros: f32,
    /// The share, from 0 to 1, that are infinite or NaN.
    pub non_finite: f32,
}

impl Statistics {
    /// The statistics of some numbers; of none, all are 0.
    pub fn of(name: impl Into<String>, values: &[f32]) -> Self {
        let (mut sum, mut squares, mut max, mut zeros, mut finite) = (0.0, 0.0, 0f32, 0, 0);
        for &value in values.iter().filter(|value| value.is_finite()) {
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
            max = max.max(value.abs());
            zeros += usize::from(value == 0.0);
            finite += 1;
        }
        let share = |part: usize| part as f32 / values.len().max(1) as f32;
        Self {
            name: name.into(),
            norm: squares.sqrt() as f32,
            mean: (sum / finite.max(1) as f64) as f32,
            max,
            zeros: share(zeros),
            non_finite: share(values.len() - finite),
        }
    }

    fn numbers(&self) -> [(&'static str, f32); 5] {
        [
            ("norm", self.norm),
            ("mean", self.mean),
            ("max", self.max),
            ("zeros", self.zeros),
            ("non_finite", self.non_finite),
        ]
    }
}

/// Looks at the gradient of each parameter after each so many steps and, if it has a probe, after each epoch
/// at what each layer gives for that. All of it is read from the device, which takes its time.
///
/// ```
/// use wgpu_lstm::train::{Fit, GradientStats};
/// let look = GradientStats::new(100, |step, all| {
///     for one in all.iter().filter(|one| one.non_finite > 0.0) {
///         eprintln!("step {step}: {} is not finite", one.name);
///     }
///     Ok(())
/// });
/// let fit = Fit::new().epochs(10).callback(look).callback(GradientStats::csv(100, "gradients.csv"));
/// # let _ = fit;
/// ```
#[must_use = "a callback does nothing until `Fit::callback` has it"]
pub struct GradientStats<'a> {
    every: u64,
    sink: Sink<'a>,
    probe: Option<&'a Sequences>,
    /// The steps made before this training.
    began: u64,
}

type Look<'a> = dyn FnMut(u64, &[Statistics]) -> Result<()> + 'a;

/// Who gets the statistics of a step.
enum Sink<'a> {
    Call(Box<Look<'a>>),
    Csv(CsvFile),
    Board(EventFile),
}

impl fmt::Debug for GradientStats<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GradientStats").field("every", &self.every).finish_non_exhaustive()
    }
}

impl<'a> GradientStats<'a> {
    /// Calls `f` with the number of steps made before, and the statistics of all gradients, for the first step
    /// and then each `every` steps, at least 1. An error of `f` ends the training.
    pub fn new(every: u64, f: impl FnMut(u64, &[Statistics]) -> Result<()> + 'a) -> Self {
        Self::with(every, Sink::Call(Box::new(f)))
    }

    /// Writes them to a CSV file: `step`, `name`, and the fields of [`Statistics`]. A new training replaces
    /// the file; one that resumes goes on in it.
    pub fn csv(every: u64, path: impl AsRef<Path>) -> Self {
        Self::with(every, Sink::Csv(CsvFile::new(path.as_ref())))
    }

    /// Writes them for TensorBoard into this folder, such as one beside those of
    /// [`super::TensorBoard`]; the tags are the name and the field, `gradient/dense.bias/norm`.
    pub fn tensor_board(every: u64, folder: impl AsRef<Path>) -> Self {
        Self::with(every, Sink::Board(EventFile::new(folder.as_ref().to_owned())))
    }

    fn with(every: u64, sink: Sink<'a>) -> Self {
        Self { every, sink, probe: None, began: 0 }
    }

    /// Looks at what the layers give for these sequences, in one batch, after each epoch. Padding does not
    /// count, and states of stateful layers stay as they are.
    pub fn probe(mut self, x: &'a Sequences) -> Self {
        self.probe = Some(x);
        self
    }

    fn hand_on(&mut self, step: u64, all: &[Statistics]) -> Result<()> {
        match &mut self.sink {
            Sink::Call(f) => f(step, all),
            Sink::Csv(file) => {
                let mut text = String::new();
                if file.is_empty() {
                    text += "step,name,norm,mean,max,zeros,non_finite\n";
                }
                for one in all {
                    let numbers = one.numbers().map(|(_, value)| number(value)).join(",");
                    text += &format!("{step},{},{numbers}\n", quoted(&one.name));
                }
                file.write(&text)
            }
            Sink::Board(file) => {
                let tagged = |one: &Statistics| {
                    let name = one.name.clone();
                    one.numbers().map(|(field, v)| Value::Scalar(format!("{name}/{field}"), v))
                };
                let values: Vec<_> = all.iter().flat_map(tagged).collect();
                file.write(self.began, step, &values)
            }
        }
    }
}

impl Callback for GradientStats<'_> {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        check_not_zero("GradientStats::every", self.every)?;
        self.began = run.steps();
        match &mut self.sink {
            Sink::Csv(file) => file.open(),
            _ => Ok(()),
        }
    }

    fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        if !run.steps().is_multiple_of(self.every) {
            return Ok(());
        }
        let params = run.params();
        let one =
            |name: String| Ok(Statistics::of(format!("gradient/{name}"), &params.gradient(&name)?));
        let all: Vec<_> = params.names().into_iter().map(one).collect::<Result<_>>()?;
        self.hand_on(run.steps(), &all)
    }

    fn after_epoch(&mut self, run: &mut Run<'_>) -> Result<()> {
        let Some(probe) = self.probe else { return Ok(()) };
        let model = run.model();
        let states = model.swap_states(Vec::new());
        let all = activations(model, probe);
        model.swap_states(states);
        self.hand_on(run.steps(), &all?)
    }

    fn state(&self) -> Result<State> {
        Ok(match &self.sink {
            Sink::Csv(file) => file.state(),
            _ => State::new(),
        })
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        match &mut self.sink {
            Sink::Csv(file) => file.set_state(state),
            _ => Ok(()),
        }
    }
}

/// What each layer gives for `x`, without what trains alone, such as dropout.
fn activations(model: &Sequential, x: &Sequences) -> Result<Vec<Statistics>> {
    const OP: &str = "GradientStats::probe";
    if x.is_empty() {
        return Err(Error::Empty {
            op: OP,
            arg: "x",
            axes: "[N,T,F]",
            found: vec![0, 0, x.features()],
        });
    }
    if let Some(built_for) = model.input_size.filter(|&size| size != x.features()) {
        return Err(other_features(OP, built_for, x.features()));
    }
    model.check_input(x)?;
    let params = model.params();
    let rows: Vec<_> = (0..x.len()).collect();
    let counting = model.counting();
    let batch = batch::batch(x, None, model.rows(), &rows, counting, &params.device())?;
    let tape = Tape::inference(params);
    let (mut x, mut kinds, mut all) = (batch.x, Vec::new(), Vec::new());
    for layer in &model.layers {
        x = if layer.takes_packed(Own) { x } else { unpacked(&tape, &x)? };
        x = layer.forward(&tape, &x)?;
        let before = kinds.iter().filter(|&&kind| kind == layer.kind()).count();
        let name = match before {
            0 => format!("activation/{}", layer.kind()),
            number => format!("activation/{}_{number}", layer.kind()),
        };
        kinds.push(layer.kind());
        all.push(Statistics::of(name, &frames(&x)?));
    }
    Ok(all)
}

/// The values of a sequence that are no padding.
fn frames(x: &Var) -> Result<Vec<f32>> {
    let values = x.tensor().to_vec()?;
    let (Some(lengths), &[rows, timesteps, features]) = (x.lengths(), x.shape()) else {
        return Ok(values);
    };
    if rows != lengths.values().len() || timesteps * features == 0 {
        return Ok(values);
    }
    let each = values.chunks_exact(timesteps * features).zip(lengths.values());
    Ok(each
        .flat_map(|(row, &length)| row.iter().take(length as usize * features))
        .copied()
        .collect())
}
