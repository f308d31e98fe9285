//! A part to train on and a part to test on.

use crate::tensor::room_for;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;

/// The numbers of the sequences to train on, and of those to test on: for [`super::Sequences::select`] and
/// [`super::Targets::select`].
pub type Split = (Vec<usize>, Vec<usize>);

/// Splits `n` sequences at random: scikit-learn's `train_test_split`. The test part has
/// ⌈`test_share` · n⌉; both parts are shuffled. The same seed gives the same split.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets, train_test_split};
/// let x = Sequences::from_array(&[0.5; 20], [10, 2, 1])?;
/// let y = Targets::classes([0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
/// let (train, test) = train_test_split(x.len(), 0.2, 42)?;
/// let (x_train, y_train) = (x.select(&train)?, y.select(&train)?);
/// assert_eq!((x_train.len(), y_train.len(), test.len()), (8, 8, 2));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Option`] for a share that is not between 0 and 1, or leaves nothing to train on.
pub fn train_test_split(n: usize, test_share: f64, seed: u64) -> Result<Split> {
    let tests = tests(n, test_share)?;
    let mut all = numbers(0..n)?;
    all.shuffle(&mut random(seed));
    let train = all.split_off(tests);
    Ok((train, all))
}

/// Splits at random as [`train_test_split`], so that each class has the same share in both parts as nearly as
/// possible: with scikit-learn's `stratify`. `labels` has the class of each sequence, of any type that can be
/// put in order; [`super::Targets::labels`] gives them.
///
/// ```
/// use wgpu_lstm::data::train_test_split_stratified;
/// let labels = ["no", "no", "yes", "no", "no", "no", "yes", "no"];
/// let (train, test) = train_test_split_stratified(&labels, 0.5, 42)?;
/// let yes = |part: &[usize]| part.iter().filter(|&&i| labels[i] == "yes").count();
/// assert_eq!((yes(&train), yes(&test)), (1, 1));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// As [`train_test_split`]; [`Error::Option`] if a class has only one sequence, too, or a part fewer than there
/// are classes.
pub fn train_test_split_stratified<L: Ord>(
    labels: &[L],
    test_share: f64,
    seed: u64,
) -> Result<Split> {
    let n = labels.len();
    let tests = tests(n, test_share)?;
    let mut classes = BTreeMap::<_, Vec<_>>::new();
    for (row, label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(row);
    }
    if let Some(alone) = classes.values().find(|rows| rows.len() < 2) {
        return Err(Error::Option {
            option: "train_test_split_stratified",
            found: format!("of labels of which that of {} occurs once", alone[0]),
            expected: "of labels that all occur at least twice, once in each part".into(),
        });
    }
    let fewest = tests.min(n - tests);
    if fewest < classes.len() {
        return Err(Error::Option {
            option: "train_test_split_stratified",
            found: format!("of {n} into {} and {tests}", n - tests),
            expected: format!("into parts of at least {}, one of each class", classes.len()),
        });
    }
    let mut counts = shares(classes.values().map(Vec::len), n, tests);
    let mut random = random(seed);
    let (mut train, mut test) = (Vec::with_capacity(n - tests), Vec::with_capacity(tests));
    for (mut rows, count) in classes.into_values().zip(counts.drain(..)) {
        rows.shuffle(&mut random);
        train.extend(rows.split_off(count));
        test.extend(rows);
    }
    train.shuffle(&mut random);
    test.shuffle(&mut random);
    Ok((train, test))
}

/// Splits by time: the last ⌈`test_share` · n⌉ are the test part, in their order. With scikit-learn's
/// `shuffle=False`; windows of a series are better split by [`super::Windowed::split_at`], since those around
/// the cut overlap.
///
/// ```
/// use wgpu_lstm::data::train_test_split_by_time;
/// assert_eq!(train_test_split_by_time(5, 0.4)?, (vec![0, 1, 2], vec![3, 4]));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// As [`train_test_split`].
pub fn train_test_split_by_time(n: usize, test_share: f64) -> Result<Split> {
    let tests = tests(n, test_share)?;
    Ok((numbers(0..n - tests)?, numbers(n - tests..n)?))
}

/// The generator of a shuffle.
pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The numbers of some sequences.
pub(super) fn numbers(range: std::ops::Range<usize>) -> Result<Vec<usize>> {
    let mut numbers = room_for("the numbers of sequences", range.len())?;
    numbers.extend(range);
    Ok(numbers)
}

/// How many of n sequences a share is.
fn tests(n: usize, test_share: f64) -> Result<usize> {
    let tests = (test_share * n as f64).ceil();
    if test_share > 0.0 && test_share < 1.0 && tests < n as f64 {
        return Ok(tests as usize);
    }
    Err(Error::Option {
        option: "train_test_split::test_share",
        found: format!("{test_share} of {n}"),
        expected: "a share between 0 and 1 that leaves at least one to train on".into(),
    })
}

/// How many of each class go into a part of `tests` of all n: the shares, rounded down, and one more for those
/// with the largest remainders.
fn shares(counts: impl Iterator<Item = usize>, n: usize, tests: usize) -> Vec<usize> {
    // Whole numbers: two remainders are equal or not, whatever the rounding.
    let share = |count: usize| {
        let exact = count as u128 * tests as u128;
        ((exact / n as u128) as usize, exact % n as u128)
    };
    let (mut parts, remainders): (Vec<_>, Vec<_>) = counts.map(share).unzip();
    let mut order: Vec<_> = (0..parts.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(remainders[class]));
    let left = tests - parts.iter().sum::<usize>();
    order.into_iter().take(left).for_each(|class| parts[class] += 1);
    parts
}
