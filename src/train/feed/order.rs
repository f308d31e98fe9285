//! Which sequences make a batch, and in which order.

use crate::Result;
use crate::tensor::room_for;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::ops::Range;

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// This many sequences.
    Sequences(usize),
    /// This many frames, padding included.
    Frames(usize),
}

impl Size {
    /// Whether a batch may have so many sequences, the longest of so many frames.
    pub(super) fn holds(self, sequences: usize, longest: usize) -> bool {
        match self {
            Self::Sequences(most) => sequences <= most,
            Self::Frames(most) => sequences.saturating_mul(longest) <= most,
        }
    }
}

/// What an epoch's order is drawn from: a seed, and the number of the epoch.
pub(super) fn dice((seed, epoch): (u64, u64)) -> ChaCha8Rng {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    dice.set_stream(epoch);
    dice
}

/// The sequences of an epoch, or of an evaluation, in batches.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    rows: Vec<usize>,
    /// The place of each batch among the rows.
    batches: Vec<Range<usize>>,
}

impl Order {
    /// The sequences of a range in batches of this size; in the order that `shuffle`, a seed and the number of an
    /// epoch, gives if there is one. With `buckets`, batches are of similar lengths: the sequences are divided by
    /// their lengths into so many parts, and each part is shuffled alone, and then the batches.
    ///
    /// `lengths` has the frames of each sequence; only a size in frames and buckets need them.
    pub(crate) fn new(
        range: Range<usize>,
        lengths: &[usize],
        size: Size,
        buckets: Option<usize>,
        shuffle: Option<(u64, u64)>,
    ) -> Result<Self> {
        let length = |row: usize| lengths.get(row).copied().unwrap_or(0);
        let (first, count) = (range.start, range.len());
        let mut rows = room_for("the order of the sequences", count)?;
        rows.extend(range.clone());
        let mut dice = shuffle.map(dice);
        if let Some(dice) = &mut dice {
            rows.shuffle(dice);
        }
        if let Some(buckets) = buckets {
            let mut by_length: Vec<_> = range.collect();
            by_length.sort_by_key(|&row| length(row));
            let mut bucket = vec![0; count];
            for (rank, row) in by_length.into_iter().enumerate() {
                bucket[row - first] = (rank as u128 * buckets as u128 / count as u128) as usize;
            }
            // Stable: within a bucket they stay shuffled.
            rows.sort_by_key(|&row| bucket[row - first]);
        }
        let (mut batches, mut begin, mut longest) = (Vec::new(), 0, 0);
        for (at, &row) in rows.iter().enumerate() {
            longest = longest.max(length(row));
            if at > begin && !size.holds(at + 1 - begin, longest) {
                batches.push(begin..at);
                (begin, longest) = (at, length(row));
            }
        }
        if begin < rows.len() {
            batches.push(begin..rows.len());
        }
        if let Some(dice) = dice.as_mut().filter(|_| buckets.is_some()) {
            batches.shuffle(dice);
        }
        Ok(Self { rows, batches })
    }

    /// The number of batches.
    pub(crate) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// The sequences of a batch; none if there is no such batch.
    pub(crate) fn batch(&self, number: usize) -> &[usize] {
        let place = self.batches.get(number).cloned().unwrap_or_default();
        self.rows.get(place).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHUFFLED: Option<(u64, u64)> = Some((3, 1));

    /// An order that fits into memory.
    fn made(
        rows: Range<usize>,
        lengths: &[usize],
        size: Size,
        buckets: Option<usize>,
        shuffle: Option<(u64, u64)>,
    ) -> Order {
        Order::new(rows, lengths, size, buckets, shuffle).unwrap()
    }

    fn batches(order: &Order) -> Vec<&[usize]> {
        (0..order.batches()).map(|number| order.batch(number)).collect()
    }

    /// Frames of padding.
    fn padding(order: &Order, lengths: &[usize]) -> usize {
        let of = |batch: &[usize]| {
            let each: Vec<_> = batch.iter().map(|&row| lengths[row]).collect();
            each.iter().max().unwrap_or(&0) * each.len() - each.iter().sum::<usize>()
        };
        batches(order).into_iter().map(of).sum()
    }

    /// Lengths with a long tail, as those of sentences.
    fn lengths(count: usize) -> Vec<usize> {
        (0..count).map(|i| 1 + (i * 7919 % 101) * (i * 104_729 % 103) / 100).collect()
    }

    #[test]
    fn each_sequence_comes_once_whatever_the_options() {
        let lengths = lengths(211);
        let longest = lengths.iter().max().copied().unwrap();
        for size in [Size::Sequences(1), Size::Sequences(8), Size::Frames(longest + 3)] {
            for buckets in [None, Some(1), Some(7), Some(211), Some(usize::MAX)] {
                for shuffle in [None, SHUFFLED] {
                    let order = made(4..211, &lengths, size, buckets, shuffle);
                    let mut all = order.rows.clone();
                    all.sort_unstable();
                    let case = format!("{size:?}, {buckets:?}, {shuffle:?}");
                    assert_eq!(all, (4..211).collect::<Vec<_>>(), "{case}");
                    let all: usize = batches(&order).iter().map(|batch| batch.len()).sum();
                    assert_eq!(all, 207, "{case}");
                    for batch in batches(&order) {
                        let longest = batch.iter().map(|&row| lengths[row]).max().unwrap();
                        assert!(size.holds(batch.len(), longest), "{case}: {batch:?}");
                    }
                    assert_eq!(order, made(4..211, &lengths, size, buckets, shuffle));
                }
            }
        }
    }

    /// Without buckets a batch is the next so many of the shuffled sequences.
    #[test]
    fn plain_batches_are_those_of_a_shuffle() {
        let order = made(0..10, &[], Size::Sequences(4), None, SHUFFLED);
        let mut rows: Vec<_> = (0..10).collect();
        rows.shuffle(&mut dice((3, 1)));
        assert_eq!(batches(&order), [&rows[..4], &rows[4..8], &rows[8..]]);
        let order = made(2..7, &[], Size::Sequences(2), None, None);
        assert_eq!(batches(&order), [&[2, 3][..], &[4, 5], &[6]]);
        assert_eq!(order.batch(3), &[] as &[usize]);
        assert_eq!(made(0..0, &[], Size::Sequences(2), Some(3), SHUFFLED).batches(), 0);
    }

    #[test]
    fn buckets_leave_the_padding_that_the_lengths_say() {
        let (lengths, size) = (lengths(300), 10);
        let of = |buckets| made(0..300, &lengths, Size::Sequences(size), buckets, SHUFFLED);
        // As many buckets as sequences: batches of sorted ones, and there are no better of this size.
        let mut sorted = lengths.clone();
        sorted.sort_unstable();
        let least = sorted.chunks(size).map(|batch| batch[size - 1] * size).sum::<usize>();
        let frames = lengths.iter().sum::<usize>();
        assert_eq!(padding(&of(Some(300)), &lengths), least - frames);
        // Six buckets of 50 are batches of 10 each: none is padded past the longest of its bucket.
        let most = sorted.chunks(50).map(|bucket| bucket[49] * 50).sum::<usize>() - frames;
        let found = padding(&of(Some(6)), &lengths);
        assert!((least - frames..=most).contains(&found), "{found} of {most}");
        let without = padding(&of(None), &lengths);
        assert!(2 * most < without, "{most} against {without}");
        assert!(padding(&of(Some(1)), &lengths) > most);
    }

    #[test]
    fn epochs_differ_within_buckets_and_among_them() {
        let lengths = lengths(60);
        let of = |epoch| made(0..60, &lengths, Size::Sequences(5), Some(3), Some((1, epoch)));
        let (a, b) = (of(0), of(1));
        let sets = |order: &Order| {
            let mut sets: Vec<_> = batches(order).into_iter().map(<[usize]>::to_vec).collect();
            sets.iter_mut().for_each(|set| set.sort_unstable());
            sets
        };
        let (a, b) = (sets(&a), sets(&b));
        assert!(!a.iter().any(|batch| b.contains(batch)), "the same sequences make a batch");
        // The batches of the shortest sequences are not where they were.
        let short = |sets: &[Vec<usize>]| -> Vec<usize> {
            let mut sorted: Vec<_> = (0..60).collect();
            sorted.sort_by_key(|&row| lengths[row]);
            let is = |set: &Vec<usize>| set.iter().all(|row| sorted[..20].contains(row));
            (0..sets.len()).filter(|&at| is(&sets[at])).collect()
        };
        assert_eq!([short(&a).len(), short(&b).len()], [4, 4]);
        assert_ne!(short(&a), short(&b));
        assert_ne!(short(&a), [0, 1, 2, 3]);
    }
}
