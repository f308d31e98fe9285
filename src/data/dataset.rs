//! Data that need not lie in memory: samples by index, or one after the other.

use super::{Sequences, Targets};
use crate::{Error, Result};

/// One sequence of a data set, with what a model learns of it.
///
/// ```
/// use wgpu_lstm::data::{Sample, Targets};
/// // Two frames of 3 features, and their class.
/// let spoken = Sample::new([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).targets(Targets::classes([4]));
/// assert_eq!(spoken.frames(3), 2);
/// // Four tokens for an Embedding; this sequence counts twice in loss and metrics.
/// let text = Sample::from_tokens(&[17, 3, 3, 250])?.targets(Targets::values([1.0], 1)).weight(2.0);
/// assert_eq!(text.frames(1), 4);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a sample is for a data set to give"]
pub struct Sample {
    pub(crate) values: Vec<f32>,
    pub(crate) targets: Option<Targets>,
    pub(crate) weight: Option<f32>,
}

impl Sample {
    /// A sequence by its values, frame by frame: all features of the first, then of the second …
    pub fn new(values: impl Into<Vec<f32>>) -> Self {
        Self { values: values.into(), targets: None, weight: None }
    }

    /// A sequence of tokens, for an [`crate::nn::Embedding`]: each frame is the number of a token.
    ///
    /// # Errors
    /// [`Error::Token`] for a number that a float does not hold, of 16,777,216 or more.
    pub fn from_tokens(tokens: &[u32]) -> Result<Self> {
        if let Some(place) = tokens.iter().position(|&token| token >= 1 << 24) {
            let found = tokens[place] as f32;
            return Err(Error::Token { sequence: 0, place, found, tokens: 1 << 24 });
        }
        Ok(Self::new(tokens.iter().map(|&token| token as f32).collect::<Vec<_>>()))
    }

    /// Sets what the model learns of this sequence: one target, or one for each frame if the model gives a
    /// value at each; for [`Loss::Ctc`](crate::train::Loss::Ctc) [`Targets::sequences`] of one row. Predictions need
    /// none.
    pub fn targets(mut self, targets: Targets) -> Self {
        self.targets = Some(targets);
        self
    }

    /// Sets how much the sequence counts in loss and metrics, 1 by default: Keras' `sample_weight`.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The number of frames, of this many features each.
    pub fn frames(&self, features: usize) -> usize {
        self.values.len().checked_div(features).unwrap_or(0)
    }
}

/// Data whose samples are got by index: from disk, from a database, computed as they are asked for. PyTorch's
/// `Dataset`, Keras' `PyDataset`.
///
/// [`crate::Sequential::fit_dataset`] asks for the samples of a batch when it is due, in threads of its own
/// ([`crate::train::Fit::workers`]), and forgets them after it: memory is that of a few batches, and 8 bytes a
/// sample for the order of an epoch.
///
/// ```
/// use wgpu_lstm::data::{Dataset, Sample, Targets};
/// use wgpu_lstm::prelude::*;
/// use wgpu_lstm::Result;
///
/// /// A million waves, of which none is kept: is one quicker than the others?
/// struct Waves;
///
/// impl Dataset for Waves {
///     fn features(&self) -> usize {
///         1
///     }
///
///     fn len(&self) -> usize {
///         1_000_000
///     }
///
///     fn get(&self, index: usize) -> Result<Sample> {
///         let quick = index % 2 == 1;
///         let step = if quick { 0.9 } else { 0.3 };
///         let wave: Vec<f32> = (0..20).map(|t| (index as f32 + step * t as f32).sin()).collect();
///         Ok(Sample::new(wave).targets(Targets::values([f32::from(quick)], 1)))
///     }
/// }
///
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(8))
///     .add(Dense::new(1).activation(Activation::Sigmoid));
/// model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
/// let history = model.fit_dataset(&Waves, Fit::new().max_steps(3).quiet())?;
/// assert_eq!(history.epochs.len(), 1);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// The number of values of a frame; 1 for tokens.
    fn features(&self) -> usize;

    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample with this index, from 0 up to, but not, [`Dataset::len`]: the same one whenever it is asked
    /// for, or a training is not reproducible. Several threads may ask at once.
    ///
    /// # Errors
    /// Any, such as [`Error::custom`]: it ends the training as [`Error::Sample`], which tells the index. A panic
    /// does the same.
    fn get(&self, index: usize) -> Result<Sample>;

    /// The number of frames of a sample, if it is known without [`Dataset::get`]: for
    /// [`crate::train::Fit::bucket_by_length`] and [`crate::train::Fit::batch_frames`]. Unknown by default.
    fn frames(&self, _index: usize) -> Option<usize> {
        None
    }
}

impl<D: Dataset + ?Sized> Dataset for &D {
    fn features(&self) -> usize {
        (**self).features()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        (**self).get(index)
    }

    fn frames(&self, index: usize) -> Option<usize> {
        (**self).frames(index)
    }
}

impl<D: Dataset + ?Sized> Dataset for Box<D> {
    fn features(&self) -> usize {
        (**self).features()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        (**self).get(index)
    }

    fn frames(&self, index: usize) -> Option<usize> {
        (**self).frames(index)
    }
}

/// Samples that come one after the other, as an iterator.
pub(crate) type Samples<'a> = Box<dyn Iterator<Item = Result<Sample>> + 'a>;

type Open<'a> = Box<dyn Fn(u64) -> Result<Samples<'a>> + Send + Sync + 'a>;

/// Data that come as a stream, one sample after the other, of a number that need not be known: a large file, a
/// generator. PyTorch's `IterableDataset`, `tf.data`'s `from_generator`.
///
/// A closure makes a new iterator for each epoch.
///
/// ```
/// use wgpu_lstm::data::{IterableDataset, Sample, Targets};
/// use wgpu_lstm::prelude::*;
///
/// // Sums of three numbers, others in each epoch; 40 to an epoch, shuffled among 16.
/// let sums = IterableDataset::new(1, |epoch| {
///     Ok((0..).map(move |i| {
///         let of = |k: u64| ((epoch * 1000 + i * 3 + k) as f32 * 0.7).sin();
///         let x = [of(0), of(1), of(2)];
///         Ok(Sample::new(x).targets(Targets::values([x.iter().sum::<f32>()], 1)))
///     }))
/// })
/// .take(40)
/// .shuffle(16);
/// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(8)).add(Dense::new(1));
/// model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
/// let fit = Fit::new().epochs(2).batch_size(8).quiet();
/// assert_eq!(model.fit_dataset(&sums, fit)?.epochs.len(), 2);
/// assert_eq!(model.predict_dataset(&sums, 8)?.rows(), 40);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[must_use = "a data set does nothing until a model has it"]
pub struct IterableDataset<'a> {
    features: usize,
    open: Open<'a>,
    shuffle: usize,
    take: Option<usize>,
}

impl std::fmt::Debug for IterableDataset<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IterableDataset").field("features", &self.features).finish_non_exhaustive()
    }
}

impl<'a> IterableDataset<'a> {
    /// Samples of `features` values a frame (1 for tokens), from the iterator that `open` makes for an epoch.
    ///
    /// `open` gets the number of the epoch, counted from [`crate::Sequential::compile`] on from 0, and must give
    /// the same samples each time it is asked for the same epoch: a training that goes on from a checkpoint
    /// within an epoch ([`crate::train::Fit::resume`]) passes over those before. For validation, evaluation and
    /// prediction the number is 0. Iterator and samples are made in a thread of their own
    /// ([`crate::train::Fit::workers`]).
    ///
    /// An error of `open` or of the iterator ends the training.
    pub fn new<I>(features: usize, open: impl Fn(u64) -> Result<I> + Send + Sync + 'a) -> Self
    where
        I: IntoIterator<Item = Result<Sample>>,
        I::IntoIter: 'a,
    {
        let open = move |epoch| Ok(Box::new(open(epoch)?.into_iter()) as Samples<'a>);
        Self { features, open: Box::new(open), shuffle: 1, take: None }
    }

    /// Trains on the samples in a random order: each is drawn from the next `buffer` of the stream, which are
    /// kept in memory, at least 1. It is `tf.data`'s `shuffle`: a buffer much smaller than an epoch leaves
    /// neighbours near each other. [`crate::train::Fit::seed`] and the epoch give the order;
    /// [`crate::train::Fit::shuffle`] can switch it off. Validation, evaluation and prediction keep the order of
    /// the stream.
    pub fn shuffle(mut self, buffer: usize) -> Self {
        self.shuffle = buffer;
        self
    }

    /// Ends an epoch after this number of samples, or before if the stream ends: `tf.data`'s `take`. The next
    /// epoch begins with a new iterator.
    pub fn take(mut self, samples: usize) -> Self {
        self.take = Some(samples);
        self
    }
}

/// A stream, whatever it borrows.
pub(crate) trait Stream: Send + Sync {
    fn features(&self) -> usize;

    /// The samples of an epoch.
    fn open(&self, epoch: u64) -> Result<Samples<'_>>;

    /// The samples among which each is drawn.
    fn buffer(&self) -> usize;

    /// The most samples of an epoch.
    fn most(&self) -> Option<usize>;
}

impl Stream for IterableDataset<'_> {
    fn features(&self) -> usize {
        self.features
    }

    fn open(&self, epoch: u64) -> Result<Samples<'_>> {
        let samples = (self.open)(epoch)?;
        Ok(match self.take {
            Some(most) => Box::new(samples.take(most)),
            None => samples,
        })
    }

    fn buffer(&self) -> usize {
        self.shuffle
    }

    fn most(&self) -> Option<usize> {
        self.take
    }
}

/// Where samples come from, for [`crate::Sequential::fit_dataset`] and the like: made of a reference to a
/// [`Dataset`] or an [`IterableDataset`], or of `(&x, &y)`, sequences and targets in memory.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Source, Targets};
/// let (x, y) = (Sequences::from_array(&[0.5; 12], [4, 3, 1])?, Targets::classes([0, 1, 1, 0]));
/// let source = Source::from((&x, &y));
/// # let _ = source;
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Source<'a>(pub(crate) Origin<'a>);

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = match self.0 {
            Origin::Memory { .. } => "memory",
            Origin::Index(_) => "a Dataset",
            Origin::Stream(_) => "an IterableDataset",
        };
        f.debug_tuple("Source").field(&from).finish()
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Sequences, their targets unless they are to be predicted, a weight for each if some count more.
    Memory {
        x: &'a Sequences,
        y: Option<&'a Targets>,
        weights: Option<&'a [f32]>,
    },
    Index(&'a dyn Dataset),
    Stream(&'a dyn Stream),
}

impl Origin<'_> {
    pub(crate) fn features(&self) -> usize {
        match self {
            Self::Memory { x, .. } => x.features(),
            Self::Index(data) => data.features(),
            Self::Stream(stream) => stream.features(),
        }
    }

    /// The number of sequences, unless they come as a stream.
    pub(crate) fn len(&self) -> Option<usize> {
        match self {
            Self::Memory { x, .. } => Some(x.len()),
            Self::Index(data) => Some(data.len()),
            Self::Stream(_) => None,
        }
    }

    /// The frames of a sequence, if they are known.
    pub(crate) fn frames(&self, row: usize) -> Option<usize> {
        match self {
            Self::Memory { x, .. } => Some(x.frames(row)),
            Self::Index(data) => data.frames(row),
            Self::Stream(_) => None,
        }
    }
}

impl<'a> From<(&'a Sequences, &'a Targets)> for Source<'a> {
    fn from((x, y): (&'a Sequences, &'a Targets)) -> Self {
        Self(Origin::Memory { x, y: Some(y), weights: None })
    }
}

impl<'a, D: Dataset> From<&'a D> for Source<'a> {
    fn from(data: &'a D) -> Self {
        Self(Origin::Index(data))
    }
}

impl<'a, 'd: 'a> From<&'a IterableDataset<'d>> for Source<'a> {
    fn from(stream: &'a IterableDataset<'d>) -> Self {
        Self(Origin::Stream(stream))
    }
}
