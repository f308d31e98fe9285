//! Folds of a cross-validation.

use super::split::{Split, numbers, random};
use crate::{Error, Result};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Splits into `splits` folds, each of which is the test part once: scikit-learn's `KFold`. The folds lie one
/// after the other, unless they are shuffled; numbers are in order within a part.
///
/// ```
/// use wgpu_lstm::data::KFold;
/// let splits = KFold::new(2).split(5)?;
/// assert_eq!(splits[0], (vec![3, 4], vec![0, 1, 2]));
/// for (train, test) in KFold::new(3).shuffle(7).split(9)? {
///     assert_eq!((train.len(), test.len()), (6, 3));
/// }
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it splits nothing until `split` is called"]
pub struct KFold {
    splits: usize,
    seed: Option<u64>,
}

impl KFold {
    /// So many folds, at least 2, without shuffling.
    pub fn new(splits: usize) -> Self {
        Self { splits, seed: None }
    }

    /// Shuffles before: the same seed gives the same folds.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The splits of `n` sequences.
    ///
    /// # Errors
    /// [`Error::Option`] for fewer than 2 folds, or more than sequences.
    pub fn split(&self, n: usize) -> Result<Vec<Split>> {
        check_splits("KFold::new", self.splits, n, "sequences")?;
        let mut all = numbers(0..n)?;
        if let Some(seed) = self.seed {
            all.shuffle(&mut random(seed));
        }
        let mut fold_of = vec![0; n];
        for (place, &row) in all.iter().enumerate() {
            // The first n % splits folds have one more.
            let (size, larger) = (n / self.splits, n % self.splits);
            let in_larger = larger * (size + 1);
            fold_of[row] = match place < in_larger {
                true => place / (size + 1),
                false => larger + (place - in_larger) / size,
            };
        }
        Ok(splits(&fold_of, self.splits))
    }
}

/// As [`KFold`], so that each class has the same share in each fold as nearly as possible: scikit-learn's
/// `StratifiedKFold`, with the same folds if they are not shuffled.
///
/// ```
/// use wgpu_lstm::data::StratifiedKFold;
/// let splits = StratifiedKFold::new(2).split(&[0, 0, 0, 0, 1, 1])?;
/// assert_eq!(splits[0], (vec![2, 3, 5], vec![0, 1, 4]));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it splits nothing until `split` is called"]
pub struct StratifiedKFold {
    splits: usize,
    seed: Option<u64>,
}

impl StratifiedKFold {
    /// So many folds, at least 2, without shuffling.
    pub fn new(splits: usize) -> Self {
        Self { splits, seed: None }
    }

    /// Shuffles within each class before: the same seed gives the same folds.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The splits of sequences with these classes, of any type that can be put in order;
    /// [`super::Targets::labels`] gives them. A class with fewer members than folds is missing in some.
    ///
    /// # Errors
    /// [`Error::Option`] for fewer than 2 folds, or more than members of the largest class.
    pub fn split<L: Ord>(&self, labels: &[L]) -> Result<Vec<Split>> {
        // Classes are numbered as they appear.
        let mut numbers = BTreeMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (row, label) in labels.iter().enumerate() {
            let class = *numbers.entry(label).or_insert(members.len());
            if class == members.len() {
                members.push(Vec::new());
            }
            members[class].push(row);
        }
        let largest = members.iter().map(Vec::len).max().unwrap_or(0);
        check_splits("StratifiedKFold::new", self.splits, largest, "members of the largest class")?;
        let mut seeded = self.seed.map(random);
        let (mut fold_of, mut begin) = (vec![0; labels.len()], 0);
        for rows in members {
            // All rows in the order of their classes are dealt out in turn; each class then gives its share of
            // a fold by blocks.
            let mut folds: Vec<_> =
                (begin..begin + rows.len()).map(|place| place % self.splits).collect();
            folds.sort_unstable();
            begin += rows.len();
            if let Some(random) = &mut seeded {
                folds.shuffle(random);
            }
            rows.into_iter().zip(folds).for_each(|(row, fold)| fold_of[row] = fold);
        }
        Ok(splits(&fold_of, self.splits))
    }
}

/// As [`KFold`], with each group as a whole in one fold, such as all recordings of a person: scikit-learn's
/// `GroupKFold`, with the same folds. The largest groups are dealt out first, each to the fold that has the
/// fewest sequences.
///
/// ```
/// use wgpu_lstm::data::GroupKFold;
/// let splits = GroupKFold::new(2).split(&["anna", "ben", "anna", "carl"])?;
/// assert_eq!(splits[0], (vec![1, 3], vec![0, 2]));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it splits nothing until `split` is called"]
pub struct GroupKFold {
    splits: usize,
}

impl GroupKFold {
    /// So many folds, at least 2.
    pub fn new(splits: usize) -> Self {
        Self { splits }
    }

    /// The splits of sequences that belong to these groups, of any type that can be put in order.
    ///
    /// # Errors
    /// [`Error::Option`] for fewer than 2 folds, or more than groups.
    pub fn split<G: Ord>(&self, groups: &[G]) -> Result<Vec<Split>> {
        let mut members = BTreeMap::<_, Vec<_>>::new();
        for (row, group) in groups.iter().enumerate() {
            members.entry(group).or_default().push(row);
        }
        check_splits("GroupKFold::new", self.splits, members.len(), "groups")?;
        let mut members: Vec<_> = members.into_values().collect();
        // Of equally large groups the last comes first, as in scikit-learn.
        members.sort_by_key(Vec::len);
        let (mut fold_of, mut sizes) = (vec![0; groups.len()], vec![0; self.splits]);
        for rows in members.into_iter().rev() {
            let least = (0..self.splits).min_by_key(|&fold| sizes[fold]).unwrap_or(0);
            sizes[least] += rows.len();
            rows.into_iter().for_each(|row| fold_of[row] = least);
        }
        Ok(splits(&fold_of, self.splits))
    }
}

fn check_splits(option: &'static str, splits: usize, most: usize, what: &str) -> Result<()> {
    if (2..=most).contains(&splits) {
        return Ok(());
    }
    let (found, expected) = (format!("{splits}"), format!("2 to {most}, the number of {what}"));
    Err(Error::Option { option, found, expected })
}

/// Each fold as the test part once.
fn splits(fold_of: &[usize], folds: usize) -> Vec<Split> {
    let split = |fold| (0..fold_of.len()).partition(|&row| fold_of[row] != fold);
    (0..folds).map(split).collect()
}
