//! Splits of what has an order in time.

use super::split::{Split, numbers};
use crate::check::check_not_zero;
use crate::{Error, Result};

/// Splits by time, so that each test part lies behind its training part: scikit-learn's `TimeSeriesSplit`, with
/// the same parts. The training part of a split has all before its test part; the next split tests on what comes
/// then.
///
/// Windows of a series whose targets have `horizon` steps overlap: with [`WalkForward::gap`] of `horizon - 1`
/// (for a stride of 1) no target of the training part reaches into the test part.
///
/// ```
/// use wgpu_lstm::data::WalkForward;
/// let splits = WalkForward::new(2).split(6)?;
/// assert_eq!(splits, [(vec![0, 1], vec![2, 3]), (vec![0, 1, 2, 3], vec![4, 5])]);
/// let splits = WalkForward::new(2).test_size(1).gap(1).max_train_size(2).split(6)?;
/// assert_eq!(splits, [(vec![1, 2], vec![4]), (vec![2, 3], vec![5])]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it splits nothing until `split` is called"]
pub struct WalkForward {
    splits: usize,
    test_size: Option<usize>,
    gap: usize,
    max_train_size: Option<usize>,
}

impl WalkForward {
    /// So many splits, at least 1.
    pub fn new(splits: usize) -> Self {
        Self { splits, test_size: None, gap: 0, max_train_size: None }
    }

    /// Sets the size of each test part: n / (splits + 1) by default.
    pub fn test_size(mut self, test_size: usize) -> Self {
        self.test_size = Some(test_size);
        self
    }

    /// Sets how many are left out between a training part and its test part: 0 by default.
    pub fn gap(mut self, gap: usize) -> Self {
        self.gap = gap;
        self
    }

    /// Sets the most that a training part has, its last ones: all by default.
    pub fn max_train_size(mut self, max_train_size: usize) -> Self {
        self.max_train_size = Some(max_train_size);
        self
    }

    /// The splits of `n` sequences in the order of time.
    ///
    /// # Errors
    /// [`Error::Option`] for 0 splits, tests of size 0, training parts of size 0, and for splits that n does
    /// not have room for.
    pub fn split(&self, n: usize) -> Result<Vec<Split>> {
        let Self { splits, gap, .. } = *self;
        check_not_zero("WalkForward::new", splits)?;
        check_not_zero("WalkForward::max_train_size", self.max_train_size.unwrap_or(1))?;
        let test_size = self.test_size.unwrap_or(n / splits.saturating_add(1));
        check_not_zero("WalkForward::test_size", self.test_size.unwrap_or(1))?;
        let tests = test_size.saturating_mul(splits);
        if test_size == 0 || tests.saturating_add(gap) >= n {
            return Err(Error::Option {
                option: "WalkForward::new",
                found: format!("{splits} splits with tests of {test_size} and a gap of {gap}"),
                expected: format!("what leaves at least one of {n} before the first gap"),
            });
        }
        let split = |begin: usize| {
            let end = begin - gap;
            let first = self.max_train_size.map_or(0, |most| end.saturating_sub(most));
            Ok((numbers(first..end)?, numbers(begin..begin + test_size)?))
        };
        (n - tests..n).step_by(test_size).map(split).collect()
    }
}
