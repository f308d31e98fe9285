//! Products of rows of bytes and of weights, on the threads of the CPU device.

use super::dot::{Isa, LANES, Sums};
use super::lines::{Lines, TOGETHER, Weight};
use super::rows::Rows;
use crate::device::threads;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// The products of bytes up to which waking another thread takes as long as the work itself.
const SMALL: usize = 1 << 20;

/// The rows that a thread takes at a time where there are many.
const GROUP: usize = 16;

/// Hands on Σ a b of some rows, by their numbers, and of some blocks, from a whole group on: the number among these
/// rows, the first block of several, and the sums of their outputs.
#[inline]
pub(crate) fn each_sum(
    isa: Isa,
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    blocks: Range<usize>,
    mut f: impl FnMut(usize, usize, &[[i32; LANES]]),
) {
    let mut block = blocks.start;
    while block < blocks.end {
        // Several at a time, which share the loads of the rows.
        match blocks.end - block {
            TOGETHER.. => tiles::<TOGETHER>(isa, (a, which), b, block, &mut f),
            _ => tiles::<1>(isa, (a, which), b, block, &mut f),
        }
        block += if blocks.end - block >= TOGETHER { TOGETHER } else { 1 };
    }
}

#[inline]
fn tiles<const C: usize>(
    isa: Isa,
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    block: usize,
    f: &mut impl FnMut(usize, usize, &[[i32; LANES]]),
) {
    let mut number = 0;
    while number < which.len() {
        let at = (block, number);
        // One row alone would wait for the weights: the last four take it with them.
        number += match which[number..] {
            [i] => tile::<_, C>(isa, (a, [i]), b, at, f),
            [i, j] => tile::<_, C>(isa, (a, [i, j]), b, at, f),
            [i, j, k] => tile::<_, C>(isa, (a, [i, j, k]), b, at, f),
            [i, j, k, l, m] => tile::<_, C>(isa, (a, [i, j, k, l, m]), b, at, f),
            [i, j, k, l, ..] => tile::<_, C>(isa, (a, [i, j, k, l]), b, at, f),
            [] => 1,
        };
    }
}

/// Some rows, from a number on: how many they are.
#[inline]
fn tile<const R: usize, const C: usize>(
    isa: Isa,
    (a, rows): (&Rows, [usize; R]),
    b: &Lines,
    (block, number): (usize, usize),
    f: &mut impl FnMut(usize, usize, &[[i32; LANES]]),
) -> usize {
    let mut sums = [[[0; LANES]; C]; R];
    sums_of(isa, (a, rows), b, block, &mut sums);
    for (r, sums) in sums.iter().enumerate() {
        f(number + r, block, sums);
    }
    R
}

/// Σ a b of some rows, by their numbers, and of the outputs of some blocks.
#[inline]
pub(crate) fn sums_of<const R: usize, const C: usize>(
    isa: Isa,
    (a, rows): (&Rows, [usize; R]),
    b: &Lines,
    block: usize,
    sums: &mut Sums<R, C>,
) {
    isa.sums(rows.map(|row| a.row(row)), b.blocks_from(block), b.totals(block..block + C), sums);
}

/// `out` `[rows,outputs]` = what `of` makes of the sums of each row and of some blocks, from the first of them on. The
/// numbers do not depend on the threads.
pub(crate) fn product<T: Copy + Send + Sync + Default>(
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    out: &mut [T],
    of: impl Fn(usize, usize, &[i32], &mut [T]) + Sync,
) {
    let (isa, outputs, blocks) = (Isa::best(), b.outputs(), b.blocks());
    if which.is_empty() || blocks == 0 {
        return;
    }
    let count = match which.len() * outputs * b.terms() {
        0..SMALL => 1,
        _ => threads::count(),
    };
    let run = |which: &[usize], blocks: Range<usize>, out: &mut [T]| {
        let (first, width) = (blocks.start, LANES * blocks.len());
        each_sum(isa, (a, which), b, blocks, |number, block, sums| {
            let sums = sums.as_flattened();
            let to = &mut out[number * width + LANES * (block - first)..][..sums.len()];
            of(which[number], block, sums, to);
        });
    };
    if count == 1 {
        return run(which, 0..blocks, out);
    }
    if which.len() >= 2 * count {
        let group = GROUP.min(which.len().div_ceil(count));
        let jobs = which.chunks(group).zip(out.chunks_mut(group * outputs));
        return threads::each(jobs, count, |(which, out)| run(which, 0..blocks, out));
    }
    // Few rows: each thread takes some of the outputs.
    let each = blocks.div_ceil(count).next_multiple_of(TOGETHER);
    let mut parts: Vec<_> = (0..blocks)
        .step_by(each)
        .map(|first| {
            let range = first..blocks.min(first + each);
            let room = vec![T::default(); which.len() * LANES * range.len()];
            (range, room)
        })
        .collect();
    threads::each(parts.iter_mut(), count, |(range, part)| run(which, range.clone(), part));
    for (range, part) in parts {
        let width = LANES * range.len();
        for (row, part) in part.chunks_exact(width).enumerate() {
            out[row * outputs + LANES * range.start..][..width].copy_from_slice(part);
        }
    }
}

/// The sums of a row and of some outputs, from a block on, as integers that stand for the product:
/// Σ (a - z_a) (b - z_b), which wraps.
#[inline(always)]
pub(crate) fn centred(
    a: &Rows,
    row: usize,
    (lines, zero): (&Lines, Option<&[i32]>),
    (block, sums): (usize, &[i32]),
    to: &mut [i32],
) {
    let za = a.zero[row];
    let totals = &lines.totals(block..block + sums.len() / LANES)[..sums.len()];
    let to = &mut to[..sums.len()];
    match zero {
        None => {
            for n in 0..sums.len() {
                to[n] = sums[n].wrapping_sub(za.wrapping_mul(totals[n]));
            }
        }
        Some(zero) => {
            // What a sum has too much, for each unit of a weight's zero point.
            let sum = a.sums[row].wrapping_sub(za.wrapping_mul(a.terms() as i32));
            let zero = &zero[LANES * block..][..sums.len()];
            for n in 0..sums.len() {
                let found = sums[n].wrapping_sub(za.wrapping_mul(totals[n]));
                to[n] = found.wrapping_sub(zero[n].wrapping_mul(sum));
            }
        }
    }
}

/// `out` `[rows,outputs]` = a w (+ bias) in floats, of the rows of these numbers.
pub(crate) fn floats(
    (a, which): (&Rows, &[usize]),
    weight: &Weight,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    product((a, which), &weight.lines, out, |row, block, sums, to| {
        Arch::new().dispatch(Floats { a, row, weight, bias, block, sums, to });
    });
}

/// The sums of a row and of some blocks as floats.
struct Floats<'a> {
    a: &'a Rows,
    row: usize,
    weight: &'a Weight,
    bias: Option<&'a [f32]>,
    block: usize,
    sums: &'a [i32],
    to: &'a mut [f32],
}

impl WithSimd for Floats<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { a, row, weight, bias, block, sums, to } = self;
        let (first, len) = (LANES * block, sums.len());
        let mut found = [0; TOGETHER * LANES];
        centred(a, row, (&weight.lines, weight.zero.as_deref()), (block, sums), &mut found);
        let (found, to, scale) = (&found[..len], &mut to[..len], &weight.scale[first..][..len]);
        let of_row = a.scale[row];
        for n in 0..len {
            to[n] = found[n] as f32 * (of_row * scale[n]);
        }
        if let Some(bias) = bias {
            let bias = &bias[first..][..len];
            for n in 0..len {
                to[n] += bias[n];
            }
        }
    }
}
