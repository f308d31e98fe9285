//! Where the batches of a training or an evaluation come from: memory, a data set, a stream.

mod loader;
mod order;
mod stream;

pub(super) use loader::caught;
pub(super) use order::{Order, Size};

use super::batch::{self, Batch, Counting};
use super::{Loss, Sequential};
use crate::data::{Origin, Sample, Sequences, Targets};
use crate::loss::CrossEntropy;
use crate::{Error, Result};
use loader::{Make, load};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use stream::{Batches, Numbered, too_long};

/// Sequences on the host, some of which make a batch.
pub(super) struct Part<'a> {
    pub(super) x: Cow<'a, Sequences>,
    y: Option<Cow<'a, Targets>>,
    /// A weight for each sequence.
    weights: Option<Cow<'a, [f32]>>,
    /// The sequences of the batch.
    pub(super) rows: Vec<usize>,
}

/// The most threads that load.
const MOST_WORKERS: usize = 256;

/// Gives the next batch; `None` after the last.
pub(super) type Next<'n, 'a> = dyn FnMut() -> Result<Option<Part<'a>>> + 'n;

/// The batches of an epoch, or of an evaluation.
pub(super) struct Feed<'a> {
    pub(super) model: &'a Sequential,
    pub(super) data: Origin<'a>,
    plan: Plan,
    /// What compares the model with the targets; without it there are none.
    pub(super) loss: Option<&'a Loss>,
    /// The loss, if it is one of classes.
    classes: Option<CrossEntropy>,
    /// The method that was given the data, for errors.
    pub(super) op: &'static str,
}

/// How sequences are put into batches.
pub(super) enum Plan {
    Order(Order),
    /// In the order in which they come in this epoch, or shuffled by a seed.
    Stream {
        size: Size,
        epoch: u64,
        seed: Option<u64>,
    },
}

impl Plan {
    /// All of the data in their order, so many sequences at a time.
    pub(super) fn in_order(data: Origin<'_>, batch_size: usize) -> Result<Self> {
        let size = Size::Sequences(batch_size);
        Ok(match data.len() {
            Some(count) => Self::Order(Order::new(0..count, &[], size, None, None)?),
            None => Self::Stream { size, epoch: 0, seed: None },
        })
    }
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        model: &'a Sequential,
        data: Origin<'a>,
        plan: Plan,
        loss: Option<&'a Loss>,
        op: &'static str,
    ) -> Self {
        Self { model, data, plan, loss, classes: loss.and_then(Loss::of_classes), op }
    }

    /// Runs `f` with the batches from the one with the number `first` on, which so many threads make.
    pub(super) fn run<R>(
        &self,
        first: usize,
        workers: usize,
        f: impl FnOnce(&mut Next<'_, 'a>) -> Result<R>,
    ) -> Result<R> {
        // In memory there is nothing to load.
        let workers = match self.data {
            Origin::Memory { .. } => 0,
            // More would have nothing to do, or wait for each other.
            Origin::Index(_) => workers.min(self.batches().unwrap_or(1)).min(MOST_WORKERS),
            Origin::Stream(_) => workers.min(1),
        };
        let over = AtomicBool::new(false);
        load(&|| self.make(first, &over), first, workers, &over, f)
    }

    /// One batch once more.
    pub(super) fn again(&self, number: usize) -> Result<Option<Batch>> {
        let part = self.make(number, &AtomicBool::new(false))?(number)?;
        part.map(|part| self.batch(&part)).transpose()
    }

    /// The number of batches, unless they come as a stream.
    pub(super) fn batches(&self) -> Option<usize> {
        match &self.plan {
            Plan::Order(order) => Some(order.batches()),
            Plan::Stream { .. } => None,
        }
    }

    /// The batch on the model's device.
    pub(super) fn batch(&self, part: &Part<'_>) -> Result<Batch> {
        let counting = Counting {
            samples: part.weights.as_deref(),
            classes: self.classes.as_ref(),
            ..self.model.counting()
        };
        let device = self.model.params().device();
        let y = part.y.as_deref();
        batch::batch(&part.x, y, self.model.rows(), &part.rows, counting, &device)
    }

    /// Makes the batches from `first` on, unless it is `over`.
    fn make<'s>(&'s self, first: usize, over: &'s AtomicBool) -> Result<Make<'s, Part<'a>>> {
        let (size, epoch, seed) = match &self.plan {
            Plan::Order(order) => {
                return Ok(Box::new(move |number| match order.batch(number) {
                    [] => Ok(None),
                    rows => self.load(rows, over),
                }));
            }
            Plan::Stream { size, epoch, seed } => (*size, *epoch, *seed),
        };
        let Origin::Stream(stream) = self.data else {
            return Ok(Box::new(|_| Ok(None)));
        };
        let mut batches = Batches::open(stream, size, (epoch, seed), self.op)?;
        for _ in 0..first {
            if over.load(Ordering::Relaxed) || batches.next()?.is_empty() {
                break;
            }
        }
        Ok(Box::new(move |_| match batches.next()? {
            samples if samples.is_empty() => Ok(None),
            samples => self.assemble(samples).map(Some),
        }))
    }

    /// Loads a batch; none if it is over meanwhile.
    fn load(&self, rows: &[usize], over: &AtomicBool) -> Result<Option<Part<'a>>> {
        let data = match self.data {
            Origin::Index(data) => data,
            Origin::Memory { x, y, weights } => {
                return Ok(Some(Part {
                    x: Cow::Borrowed(x),
                    y: y.filter(|_| self.loss.is_some()).map(Cow::Borrowed),
                    weights: weights.map(Cow::Borrowed),
                    rows: rows.to_vec(),
                }));
            }
            Origin::Stream(_) => return Ok(None),
        };
        let mut samples = Vec::new();
        for &index in rows {
            if over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let of = |error| of_sample(self.op, index, error);
            let sample = caught(|| data.get(index)).map_err(of)?;
            let (said, found) = (data.frames(index), sample.frames(data.features()));
            if let Some(said) = said.filter(|&said| said != found) {
                return Err(of(Error::Option {
                    option: "Dataset::frames",
                    found: said.to_string(),
                    expected: format!("{found}, the frames of the sample"),
                }));
            }
            samples.push((index, sample));
        }
        self.assemble(samples).map(Some)
    }

    /// Puts samples together, after all checks.
    fn assemble(&self, samples: Vec<Numbered>) -> Result<Part<'a>> {
        let mut x = Vec::with_capacity(samples.len());
        let (mut y, mut weights) = (None::<Targets>, None::<Vec<f32>>);
        for (row, (number, sample)) in samples.into_iter().enumerate() {
            let weight = sample.weight;
            let one = caught(|| self.one(&mut y, number, sample))
                .map_err(|error| of_sample(self.op, number, error))?;
            x.push(one);
            if let Some(weight) = weight {
                let weights = weights.get_or_insert_default();
                weights.resize(row, 1.0);
                weights.push(weight);
            }
        }
        if let Some(weights) = &mut weights {
            weights.resize(x.len(), 1.0);
        }
        let x = Sequences::concat(&x)?;
        let rows = (0..x.len()).collect();
        let (y, weights) = (y.map(Cow::Owned), weights.map(Cow::Owned));
        Ok(Part { x: Cow::Owned(x), y, weights, rows })
    }

    /// The sequence of a sample, whose targets are added to `y`.
    fn one(&self, y: &mut Option<Targets>, number: usize, sample: Sample) -> Result<Sequences> {
        // Alone: a target is then counted and checked against its own sequence.
        let one = Sequences::one(self.data.features(), number, sample.values)?;
        if let Some(bad) = sample.weight.filter(|weight| !(0.0..f32::MAX).contains(weight)) {
            return Err(Error::Option {
                option: "Sample::weight",
                found: bad.to_string(),
                expected: "a finite value of at least 0".into(),
            });
        }
        match self.loss {
            None => self.model.check_input(&one)?,
            Some(loss) => {
                const OP: &str = "Sample::targets";
                let targets = sample.targets.unwrap_or_else(|| Targets::classes([0u32; 0]));
                self.model.check_data(&one, &targets, one.features(), loss, OP)?;
                match y {
                    None => *y = Some(targets),
                    Some(all) => {
                        if !all.append(&targets) {
                            return Err(Error::Unsupported {
                                what: "the kind of these targets",
                                with: "that of the samples before",
                                help: "give each sample classes, or values of one width",
                            });
                        }
                    }
                }
            }
        }
        Ok(one)
    }
}

impl Sequential {
    /// Checks each sequence against what the first layer takes.
    pub(in crate::train) fn check_input(&self, x: &Sequences) -> Result<()> {
        let Some(first) = self.layers.first() else { return Ok(()) };
        for number in 0..x.len() {
            first.check_input(x.get(number)).map_err(|mut error| {
                if let Error::Token { sequence, .. } = &mut error {
                    *sequence = number;
                }
                error
            })?;
        }
        Ok(())
    }
}

/// Checks that a batch has room for each of the sequences, of these frames.
pub(super) fn check_frames(size: Size, lengths: &[usize], op: &'static str) -> Result<()> {
    match lengths.iter().position(|&frames| !size.holds(1, frames)) {
        Some(number) => Err(of_sample(op, number, too_long(size, lengths[number]))),
        None => Ok(()),
    }
}

/// That there are no sequences.
pub(super) fn no_data(features: usize, op: &'static str) -> Error {
    Error::Empty { op, arg: "x", axes: "[N,T,F]", found: vec![0, 0, features] }
}

/// An error with the sample that it is of.
fn of_sample(op: &'static str, index: usize, mut error: Error) -> Error {
    if let Error::Token { sequence, .. } = &mut error {
        *sequence = index;
    }
    Error::Sample { op, index, error: Box::new(error) }
}
