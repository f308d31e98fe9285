//! Products of rows of bytes and of weights, on the threads of the CPU device.

use super::dot::{Isa, LANES};
use super::lines::{Lines, Weight};
use super::rows::Rows;
use crate::device::threads;
use std::ops::Range;

/// The products of bytes up to which waking another thread takes as long as the work itself.
const SMALL: usize = 1 << 20;

/// The rows that a thread takes at a time where there are many.
const GROUP: usize = 16;

/// Hands on Σ a b of some rows, by their numbers, and of some blocks: the number among these rows, the block, and the
/// sums of its 16 outputs.
#[inline]
pub(crate) fn each_sum(
    isa: Isa,
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    blocks: Range<usize>,
    mut f: impl FnMut(usize, usize, &[i32; LANES]),
) {
    let mut block = blocks.start;
    while block < blocks.end {
        // Four at a time, which share the loads of the rows.
        match blocks.end - block {
            4.. => tiles::<4>(isa, (a, which), b, block, &mut f),
            _ => tiles::<1>(isa, (a, which), b, block, &mut f),
        }
        block += if blocks.end - block >= 4 { 4 } else { 1 };
    }
}

#[inline]
fn tiles<const C: usize>(
    isa: Isa,
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    block: usize,
    f: &mut impl FnMut(usize, usize, &[i32; LANES]),
) {
    let (fours, rest) = which.as_chunks::<4>();
    for (number, &rows) in fours.iter().enumerate() {
        tile::<4, C>(isa, (a, rows), b, block, |r, c, sums| f(4 * number + r, c, sums));
    }
    for (number, &row) in rest.iter().enumerate() {
        let at = 4 * fours.len() + number;
        tile::<1, C>(isa, (a, [row]), b, block, |_, c, sums| f(at, c, sums));
    }
}

#[inline]
pub(crate) fn tile<const R: usize, const C: usize>(
    isa: Isa,
    (a, rows): (&Rows, [usize; R]),
    b: &Lines,
    block: usize,
    mut f: impl FnMut(usize, usize, &[i32; LANES]),
) {
    let found = isa.sums::<R, C>(
        rows.map(|row| a.row(row)),
        std::array::from_fn(|c| b.block(block + c)),
        std::array::from_fn(|c| b.totals(block + c)),
    );
    for (r, found) in found.iter().enumerate() {
        for (c, sums) in found.iter().enumerate() {
            f(r, block + c, sums);
        }
    }
}

/// `out` `[rows,outputs]` = what `of` makes of the sums of each row and block. The numbers do not depend on the
/// threads.
pub(crate) fn product<T: Copy + Send + Sync + Default>(
    (a, which): (&Rows, &[usize]),
    b: &Lines,
    out: &mut [T],
    of: impl Fn(usize, usize, &[i32; LANES]) -> [T; LANES] + Sync,
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
            let to = &mut out[number * width + LANES * (block - first)..][..LANES];
            to.copy_from_slice(&of(which[number], block, sums));
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
    let each = blocks.div_ceil(count);
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

/// The sums as integers that stand for the product: Σ (a - z_a) (b - z_b), which wraps.
#[inline]
pub(crate) fn centred(
    a: &Rows,
    row: usize,
    (lines, zero): (&Lines, Option<&[i32]>),
    block: usize,
    sums: &[i32; LANES],
) -> [i32; LANES] {
    let (za, totals) = (a.zero[row], lines.totals(block));
    let mut found = [0; LANES];
    for n in 0..LANES {
        found[n] = sums[n].wrapping_sub(za.wrapping_mul(totals[n]));
    }
    if let Some(zero) = zero {
        let sum = a.sums[row].wrapping_sub(za.wrapping_mul(a.terms() as i32));
        for (found, zb) in found.iter_mut().zip(&zero[LANES * block..]) {
            *found = found.wrapping_sub(zb.wrapping_mul(sum));
        }
    }
    found
}

/// `out` `[rows,outputs]` = a w (+ bias) in floats, of the rows of these numbers.
pub(crate) fn floats(
    (a, which): (&Rows, &[usize]),
    weight: &Weight,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let zero = weight.zero.as_deref();
    product((a, which), &weight.lines, out, |row, block, sums| {
        let sums = centred(a, row, (&weight.lines, zero), block, sums);
        let scale = &weight.scale[LANES * block..][..LANES];
        let mut found = [0.0; LANES];
        for n in 0..LANES {
            found[n] = sums[n] as f32 * (a.scale[row] * scale[n]);
        }
        if let Some(bias) = bias {
            let bias = &bias[LANES * block..][..LANES];
            found.iter_mut().zip(bias).for_each(|(found, bias)| *found += bias);
        }
        found
    });
}
