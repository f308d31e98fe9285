//! Samples that come one after the other: shuffled, and put into batches.

use super::loader::caught;
use super::of_sample;
use super::order::{Size, dice};
use crate::data::{Sample, Stream};
use crate::{Error, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A sample, and the number of those before it in the stream.
pub(super) type Numbered = (usize, Sample);

/// The samples of an epoch, with their numbers.
struct Numbers<'a> {
    samples: Box<dyn Iterator<Item = Result<Sample>> + 'a>,
    next: usize,
    op: &'static str,
}

impl Iterator for Numbers<'_> {
    type Item = Result<Numbered>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        self.next += 1;
        let got = caught(|| self.samples.next().transpose()).transpose()?;
        Some(got.map(|sample| (number, sample)).map_err(|e| of_sample(self.op, number, e)))
    }
}

/// Draws each sample from the next so many.
struct Shuffled<'a> {
    samples: Numbers<'a>,
    buffer: Vec<Numbered>,
    size: usize,
    dice: ChaCha8Rng,
}

impl Iterator for Shuffled<'_> {
    type Item = Result<Numbered>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.buffer.len() < self.size {
            match self.samples.next() {
                Some(Ok(sample)) => self.buffer.push(sample),
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        if self.buffer.is_empty() {
            return None;
        }
        let at = self.dice.random_range(0..self.buffer.len());
        Some(Ok(self.buffer.swap_remove(at)))
    }
}

/// The samples of an epoch in batches.
pub(super) struct Batches<'a> {
    samples: Box<dyn Iterator<Item = Result<Numbered>> + 'a>,
    size: Size,
    features: usize,
    op: &'static str,
    /// A sample that the batch before had no room for.
    left: Option<Numbered>,
}

impl<'a> Batches<'a> {
    /// Those of an epoch; shuffled by this seed if there is one and the stream says how.
    pub(super) fn open(
        stream: &'a dyn Stream,
        size: Size,
        (epoch, seed): (u64, Option<u64>),
        op: &'static str,
    ) -> Result<Self> {
        let samples = caught(|| stream.open(epoch))?;
        // What a stream has ended is not asked again.
        let samples = Numbers { samples: Box::new(samples.fuse()), next: 0, op };
        let samples: Box<dyn Iterator<Item = _>> = match (seed, stream.buffer()) {
            (Some(seed), size @ 2..) => {
                let dice = dice((seed, epoch));
                Box::new(Shuffled { samples, buffer: Vec::new(), size, dice })
            }
            _ => Box::new(samples),
        };
        let samples = Box::new(samples.fuse());
        Ok(Self { samples, size, features: stream.features(), op, left: None })
    }

    /// The next batch; without samples where there are no more.
    pub(super) fn next(&mut self) -> Result<Vec<Numbered>> {
        let (mut batch, mut longest) = (Vec::new(), 0);
        while self.size != Size::Sequences(batch.len()) {
            let next = self.left.take().map(Ok).or_else(|| self.samples.next());
            let Some((number, sample)) = next.transpose()? else { break };
            // One that is shorter than a frame is refused with its batch, which must end.
            let frames = sample.frames(self.features).max(1);
            longest = longest.max(frames);
            if !self.size.holds(batch.len() + 1, longest) {
                if batch.is_empty() {
                    return Err(of_sample(self.op, number, too_long(self.size, frames)));
                }
                self.left = Some((number, sample));
                break;
            }
            batch.push((number, sample));
        }
        Ok(batch)
    }
}

/// That a sequence alone is more than a batch.
pub(super) fn too_long(size: Size, frames: usize) -> Error {
    let (Size::Frames(most) | Size::Sequences(most)) = size;
    Error::Option {
        option: "Fit::batch_frames",
        found: most.to_string(),
        expected: format!("at least {frames}, the frames of a sequence"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::IterableDataset;

    fn stream(count: usize) -> IterableDataset<'static> {
        let sample = |i| Ok(Sample::new(vec![i as f32; 1 + i % 3]));
        IterableDataset::new(1, move |epoch| Ok((epoch as usize..count).map(sample)))
    }

    fn numbers(
        stream: &IterableDataset<'_>,
        size: Size,
        of: (u64, Option<u64>),
    ) -> Vec<Vec<usize>> {
        let mut batches = Batches::open(stream, size, of, "test").unwrap();
        let next = || {
            let batch = batches.next().unwrap();
            let numbers: Vec<_> = batch.iter().map(|(number, _)| *number).collect();
            Some(numbers).filter(|numbers| !numbers.is_empty())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn batches_come_in_order_and_hold_what_fits() {
        let batches = numbers(&stream(7), Size::Sequences(3), (0, None));
        assert_eq!(batches, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        assert_eq!(numbers(&stream(7), Size::Sequences(3), (5, Some(1))), [vec![0, 1]]);
        assert_eq!(numbers(&stream(7).take(2), Size::Sequences(3), (0, None)), [vec![0, 1]]);
        // Of 1, 2, 3, 1, 2, 3 and 1 frames: padded, 3 is two of two, or one of three.
        let batches = numbers(&stream(7), Size::Frames(4), (0, None));
        assert_eq!(batches, [vec![0, 1], vec![2], vec![3, 4], vec![5], vec![6]]);
        let short = stream(7);
        let mut batches = Batches::open(&short, Size::Frames(2), (0, None), "test").unwrap();
        assert_eq!(batches.next().unwrap().len(), 1);
        assert_eq!(batches.next().unwrap().len(), 1);
        let error = batches.next().unwrap_err();
        let text =
            "test: sample 2: Fit::batch_frames is 2, expected at least 3, the frames of a sequence";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn a_buffer_shuffles_what_it_holds() {
        let of = |buffer, seed| {
            let stream = stream(40).shuffle(buffer);
            numbers(&stream, Size::Sequences(40), (0, seed)).concat()
        };
        let plain: Vec<_> = (0..40).collect();
        for (buffer, seed) in [(1, Some(1)), (8, None)] {
            assert_eq!(of(buffer, seed), plain);
        }
        let shuffled = of(8, Some(1));
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, plain);
        assert_ne!(shuffled, plain);
        // A sample comes at most 7 before its place.
        assert!(shuffled.iter().enumerate().all(|(at, &number)| number < at + 8));
        assert_eq!(shuffled, of(8, Some(1)));
        assert_ne!(shuffled, of(8, Some(2)));
        // Each epoch in another order, even where the samples are the same.
        let same = |_: u64| Ok((0..40).map(|i| Ok(Sample::new([i as f32]))));
        let same = IterableDataset::new(1, same).shuffle(8);
        let [first, second] =
            [0, 1].map(|epoch| numbers(&same, Size::Sequences(40), (epoch, Some(1))).concat());
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
    }

    #[test]
    fn a_batch_of_samples_without_a_frame_ends() {
        let endless = |_: u64| Ok(std::iter::repeat_with(|| Ok(Sample::new([0.5]))));
        let endless = IterableDataset::new(2, endless);
        let mut batches = Batches::open(&endless, Size::Frames(8), (0, None), "test").unwrap();
        assert_eq!(batches.next().unwrap().len(), 8);
    }

    #[test]
    fn a_stream_is_not_asked_behind_its_end() {
        let gaps = |_: u64| {
            let mut asked = 0;
            Ok(std::iter::from_fn(move || {
                asked += 1;
                (asked != 5).then(|| Ok(Sample::new([0.5])))
            }))
        };
        for buffer in [1, 2, 8] {
            let gaps = IterableDataset::new(1, gaps).shuffle(buffer);
            assert_eq!(numbers(&gaps, Size::Sequences(3), (0, Some(1))).concat().len(), 4);
        }
    }
}
