//! The metrics of an epoch, from sums on the device and from the outputs that are kept.

use super::average::Counts;
use super::kept::Kept;
use super::metric::{Family, Metric};
use super::regression::Spread;
use crate::autograd::Var;
use crate::file::State;
use crate::loss::{Ctc, RowWeights};
use crate::ops::loss::answers::{self, answers};
use crate::ops::loss::metric_sums::{Sum, Term, Wanted, metric_sums};
use crate::train::batch::{Batch, BatchTargets};
use crate::train::loss::Loss;
use crate::train::total::Total;
use crate::{Device, Result, Tensor};

/// The metrics of the batches so far.
pub(crate) struct Measure {
    metrics: Vec<Metric>,
    names: Vec<String>,
    outputs: Outputs,
    plan: Plan,
    /// The sums on the device, if a metric needs any.
    sums: Option<(Wanted, Total)>,
    /// The targets' spread, if a metric needs it.
    spread: Option<Spread>,
    kept: Option<Kept>,
    weight: f64,
}

/// The outputs of a model.
#[derive(Clone)]
struct Outputs {
    family: Family,
    width: usize,
    /// Those that each target has an output for, one after the other; none where it has one output alone.
    quantiles: Vec<f32>,
}

impl Outputs {
    /// The outputs of each target.
    fn each(&self) -> usize {
        self.quantiles.len().max(1)
    }

    fn targets(&self) -> usize {
        self.width / self.each()
    }

    /// A term of the outputs that are compared with a target each, all in one sum if they lie beside each other.
    fn all(&self, term: Term, quantile: f32) -> Vec<Sum> {
        match self.quantiles.iter().position(|&q| q == quantile) {
            Some(place) => self.of_targets(|first| vec![Sum { term, columns: (first + place, 1) }]),
            None => vec![Sum { term, columns: (0, self.width) }],
        }
    }

    /// Sums of each target, given the first of its outputs.
    fn of_targets(&self, of: impl Fn(usize) -> Vec<Sum>) -> Vec<Sum> {
        (0..self.targets()).flat_map(|target| of(target * self.each())).collect()
    }
}

/// What is known of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    /// The outputs that the loss compares with the targets.
    Outputs(&'a Tensor),
    /// The answers alone, if any metric takes them: where no metric takes all outputs.
    Answers(Option<&'a Tensor>),
    /// Logits of each timestep, and what reads labels of them.
    Paths(&'a Var, Ctc),
}

/// Which sums the metrics need, and where each finds its own.
#[derive(Default)]
struct Plan {
    sums: Vec<Sum>,
    /// For each metric, the numbers of its sums.
    of: Vec<Vec<usize>>,
    /// The classes that are counted; 0 if none are.
    classes: usize,
    log_loss: bool,
}

impl Plan {
    fn new(metrics: &[Metric], outputs: &Outputs) -> Self {
        let mut plan = Self::default();
        for metric in metrics {
            let own = plan.sums_of(metric, outputs);
            let of = own.into_iter().map(|sum| match plan.sums.iter().position(|s| *s == sum) {
                Some(at) => at,
                None => {
                    plan.sums.push(sum);
                    plan.sums.len() - 1
                }
            });
            let of = of.collect();
            plan.of.push(of);
        }
        plan
    }

    fn sums_of(&mut self, metric: &Metric, outputs: &Outputs) -> Vec<Sum> {
        const MEDIAN: f32 = 0.5;
        let width = outputs.width;
        let all = |term| outputs.all(term, MEDIAN);
        let one = |term, column| Sum { term, columns: (column, 1) };
        let each = |terms: &[Term]| {
            let of = |j| terms.iter().map(move |&term| one(term, j));
            (0..width).flat_map(of).collect()
        };
        let (metric, cut) = metric.and_cut();
        match (metric, outputs.family) {
            (Metric::Accuracy, Family::Classes) => vec![one(Term::Below(1.0), answers::RANK)],
            (Metric::TopK(k), _) => vec![one(Term::Below(*k as f32), answers::RANK)],
            (Metric::LogLoss | Metric::Perplexity, Family::Classes) => {
                self.log_loss = true;
                vec![one(Term::Value, answers::LOG_LOSS)]
            }
            (metric, Family::Classes) if metric.of_counts() => {
                self.classes = width;
                Vec::new()
            }
            (Metric::Accuracy, _) => all(Term::Right(cut)),
            (Metric::LogLoss, _) => all(Term::LogLoss),
            (metric, _) if metric.of_counts() => {
                let yes = [Term::Yes(cut), Term::IsYes, Term::BothYes(cut)];
                let no = [Term::No(cut), Term::IsNo, Term::BothNo(cut)];
                match width {
                    1 => each(&[no, yes].concat()),
                    _ => each(&yes),
                }
            }
            (Metric::MeanAbsoluteError | Metric::Mase { .. }, _) => all(Term::Absolute),
            (Metric::MeanSquaredError | Metric::RootMeanSquaredError, _) => all(Term::Squared),
            (Metric::MeanAbsolutePercentageError, _) => all(Term::Percentage),
            (Metric::SymmetricMeanAbsolutePercentageError, _) => all(Term::Symmetric),
            (Metric::R2, _) if outputs.quantiles.is_empty() => each(&[Term::Squared]),
            (Metric::R2, _) => all(Term::Squared),
            (Metric::Pinball { quantile }, _) => outputs.all(Term::Pinball(*quantile), *quantile),
            (Metric::Crps { quantiles }, _) => {
                let of = quantiles.iter().cycle().take(width).enumerate();
                of.map(|(j, &q)| one(Term::Pinball(q), j)).collect()
            }
            (Metric::Coverage { lower, upper }, _) => {
                let of = |first| {
                    vec![Sum { term: Term::Within, columns: (first + lower, upper - lower + 1) }]
                };
                if outputs.quantiles.is_empty() { of(0) } else { outputs.of_targets(of) }
            }
            (Metric::IntervalWidth { lower, upper }, _) => {
                let of = |first| [upper, lower].map(|j| one(Term::Value, first + j)).to_vec();
                if outputs.quantiles.is_empty() { of(0) } else { outputs.of_targets(of) }
            }
            // Of all outputs.
            _ => Vec::new(),
        }
    }
}

impl Measure {
    /// Checks the metrics against the loss, the outputs of the model, and whether it gives sequences.
    pub(crate) fn new(
        device: &Device,
        loss: &Loss,
        metrics: &[Metric],
        width: usize,
        sequences: bool,
    ) -> Result<Self> {
        for metric in metrics {
            metric.check(loss, width, sequences)?;
        }
        let family = Family::of(loss);
        let outputs = Outputs { family, width, quantiles: loss.quantiles().to_vec() };
        let plan = Plan::new(metrics, &outputs);
        let wanted = Wanted::new(plan.sums.clone(), plan.classes, device)?.of_each(outputs.each());
        let sums = match wanted.len() {
            0 => None,
            columns => Some((wanted, Total::of_columns(columns, device)?)),
        };
        Ok(Self {
            metrics: metrics.to_vec(),
            names: Metric::names(metrics),
            spread: metrics.contains(&Metric::R2).then(|| Spread::new(outputs.targets())),
            outputs,
            plan,
            sums,
            kept: Kept::new(metrics, family, width)?,
            weight: 0.0,
        })
    }

    /// Whether a metric takes all outputs.
    pub(crate) fn take_outputs(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether answers are to have the log loss; `None` if no metric takes answers.
    pub(crate) fn log_loss_of_answers(&self) -> Option<bool> {
        let sequences = self.kept.as_ref().is_some_and(Kept::of_sequences);
        let taken = self.sums.is_some() || sequences;
        (self.outputs.family == Family::Classes && taken).then_some(self.plan.log_loss)
    }

    /// Adds a batch, and what was found of it.
    pub(crate) fn add(&mut self, found: Found<'_>, batch: &Batch) -> Result<()> {
        self.weight += f64::from(batch.weight);
        let weights = batch.weights.as_ref().map(RowWeights::tensor);
        match (&batch.targets, found) {
            (BatchTargets::Classes(labels), found) => {
                let y = labels.tensor();
                let made = match (found, self.log_loss_of_answers()) {
                    (Found::Outputs(output), Some(log_loss)) => {
                        Some(answers(output, y, weights, log_loss)?)
                    }
                    _ => None,
                };
                let answers = match found {
                    Found::Answers(answers) => answers,
                    _ => made.as_ref(),
                };
                if let (Some((wanted, total)), Some(x)) = (&mut self.sums, answers) {
                    total.add_rows(&metric_sums(wanted, x, y, weights)?)?;
                }
                let shape = if let Found::Outputs(output) = found { Some(output) } else { answers };
                if let (Some(kept), Some(shape)) = (&self.kept, shape) {
                    kept.add(shape, answers, labels.values(), batch);
                }
            }
            (BatchTargets::Values(y), Found::Outputs(output)) => {
                if let Some((wanted, total)) = &mut self.sums {
                    total.add_rows(&metric_sums(wanted, output, y, weights)?)?;
                }
                if let Some(spread) = &mut self.spread {
                    spread.add(&batch.numbers, batch.weights.as_ref().map(RowWeights::values));
                }
                if let Some(kept) = &self.kept {
                    kept.add(output, None, &[], batch);
                }
            }
            (BatchTargets::Sequences(labels), Found::Paths(logits, ctc)) => {
                if let Some(kept) = &self.kept {
                    kept.add_paths(logits, labels, ctc, batch)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The sums as they go. Waits for the device.
    pub(crate) fn state(&self) -> Result<State> {
        let mut state = State::new();
        state.set_number("weight", self.weight);
        if let Some((_, total)) = &self.sums {
            state.nest("sums", total.state()?);
        }
        if let Some(spread) = &self.spread {
            state.set_doubles("spread", &spread.numbers());
        }
        if let Some(kept) = &self.kept {
            state.nest("kept", kept.state()?);
        }
        Ok(state)
    }

    /// Goes on from what [`Measure::state`] gave.
    pub(crate) fn set_state(&mut self, state: &State) -> Result<()> {
        self.weight = state.number("weight")?;
        if let Some((_, total)) = &mut self.sums {
            total.set_state(&state.nested("sums"))?;
        }
        if let Some(spread) = &mut self.spread {
            spread.set_numbers(&state.doubles("spread")?);
        }
        if let Some(kept) = &self.kept {
            kept.set_state(&state.nested("kept"))?;
        }
        Ok(())
    }

    /// The metrics and their names; without those of all outputs, unless `all` are wanted. Waits for the
    /// device.
    pub(crate) fn read(&self, all: bool) -> Result<(Vec<f32>, Vec<String>)> {
        let sums = match &self.sums {
            Some((_, total)) => total.read_columns()?,
            None => Vec::new(),
        };
        if let Some(kept) = self.kept.as_ref().filter(|_| all) {
            kept.finish()?;
        }
        let (mut values, mut names) = (Vec::new(), Vec::new());
        for ((metric, of), name) in self.metrics.iter().zip(&self.plan.of).zip(&self.names) {
            let of_outputs = metric.of_scores() || metric.of_sequences();
            if of_outputs && !all {
                continue;
            }
            values.push(match &self.kept {
                // 0, not NaN, where nothing counted.
                _ if self.weight == 0.0 => 0.0,
                Some(kept) if of_outputs => kept.value(metric) as f32,
                _ => self.value(metric, of, &sums) as f32,
            });
            names.push(name.clone());
        }
        Ok((values, names))
    }

    /// The value of a metric, from the numbers of its sums.
    fn value(&self, metric: &Metric, of: &[usize], sums: &[f64]) -> f64 {
        let at = |i: &usize| sums.get(*i).copied().unwrap_or(f64::NAN);
        let own = of.iter().map(at);
        let all = own.clone().sum::<f64>();
        let Outputs { family, width, .. } = self.outputs;
        let columns = if family == Family::Classes { 1 } else { self.outputs.targets() };
        let mean = all / (self.weight * columns as f64);
        let counts = || self.counts(of, sums);
        match metric.and_cut().0 {
            Metric::Precision(average) => counts().precision(*average),
            Metric::Recall(average) => counts().recall(*average),
            Metric::F1(average) => counts().f1(*average),
            Metric::Mcc => counts().mcc(),
            Metric::Perplexity => mean.exp(),
            Metric::RootMeanSquaredError => mean.sqrt(),
            Metric::Mase { scale } => mean / f64::from(*scale),
            Metric::R2 => match &self.spread {
                Some(spread) => spread.r2(&own.collect::<Vec<_>>()),
                None => f64::NAN,
            },
            Metric::Crps { .. } => 2.0 * all / (self.weight * width as f64),
            // One of each target.
            Metric::Coverage { .. } => all / (self.weight * of.len() as f64),
            Metric::IntervalWidth { .. } => {
                let widths = of.chunks_exact(2).map(|both| at(&both[0]) - at(&both[1]));
                2.0 * widths.sum::<f64>() / (self.weight * of.len() as f64)
            }
            _ => mean,
        }
    }

    /// How often each class was answered, was right, and was both.
    fn counts(&self, of: &[usize], sums: &[f64]) -> Counts {
        let own: Vec<_> = match self.outputs.family {
            Family::Classes => sums.get(self.plan.sums.len()..).unwrap_or_default().to_vec(),
            _ => of.iter().filter_map(|&at| sums.get(at).copied()).collect(),
        };
        let classes = own.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
        Counts { classes, columns: self.outputs.family == Family::Binary && self.outputs.width > 1 }
    }
}
