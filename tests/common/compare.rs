//! The comparison of numbers that all tests share, and what it says where they differ. The tests of the
//! public interface include this file, and the library's own tests of its kernels.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt::Display;

/// What differences are divided by where all expected values are smaller.
pub(crate) const LEAST: f64 = 1e-6;

/// What is wrong with `found`, if anything is: another number of values; a NaN or an infinity where the
/// expected value is not the same, or the other way round; a difference that, over the largest finite
/// expected value or over `least` where all are smaller, is more than `bound`.
pub(crate) fn mismatch<F, E>(found: &[F], expected: &[E], least: f64, bound: f64) -> Option<String>
where
    F: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    let (len, wanted) = (found.len(), expected.len());
    if len != wanted {
        return Some(format!("{len} values, expected {wanted}"));
    }
    let pair = |at: usize| -> (f64, f64) { (found[at].into(), expected[at].into()) };
    let sizes = (0..len).map(|at| pair(at).1.abs()).filter(|size| size.is_finite());
    let largest = sizes.fold(least, f64::max);
    let error = |at: usize| match pair(at) {
        (f, e) if f == e || f.is_nan() && e.is_nan() => 0.0,
        (f, e) if f.is_finite() && e.is_finite() => (f - e).abs() / largest,
        _ => f64::INFINITY,
    };
    let off = (0..len).filter(|&at| error(at) > bound).count();
    // The first of those that are as far off.
    let worst = (0..len).min_by(|&a, &b| error(b).total_cmp(&error(a))).filter(|_| off > 0)?;
    let ((f, e), error) = (pair(worst), error(worst));
    Some(format!(
        "{off} of {len} values are off, most of all value {worst}: {f:?}, expected {e:?}; relative error \
         {error:e} (by {largest:e}), at most {bound:e}"
    ))
}

/// Fails if there is a [`mismatch`]; `what` is the case, with its device.
#[track_caller]
pub(crate) fn assert_close<F, E>(
    what: impl Display,
    found: &[F],
    expected: &[E],
    least: f64,
    bound: f64,
) where
    F: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if let Some(wrong) = mismatch(found, expected, least, bound) {
        panic!("{what}: {wrong}");
    }
}

/// Fails unless the numbers are equal: a NaN is equal to nothing.
#[track_caller]
pub(crate) fn assert_equal(what: impl Display, found: &[f32], expected: &[f32]) {
    assert_same(what, found, expected, |a, b| a == b);
}

/// Fails unless the numbers have the same bits.
#[track_caller]
pub(crate) fn assert_same_bits(what: impl Display, found: &[f32], expected: &[f32]) {
    assert_same(what, found, expected, |a, b| a.to_bits() == b.to_bits());
}

#[track_caller]
fn assert_same(
    what: impl Display,
    found: &[f32],
    expected: &[f32],
    same: impl Fn(f32, f32) -> bool,
) {
    let (len, wanted) = (found.len(), expected.len());
    assert_eq!(len, wanted, "{what}: so many values");
    let different: Vec<_> = (0..len).filter(|&at| !same(found[at], expected[at])).collect();
    if let Some(&at) = different.first() {
        let (count, f, e) = (different.len(), found[at], expected[at]);
        panic!("{what}: {count} of {len} values differ, the first value {at}: {f:?}, not {e:?}");
    }
}
