//! The frames of rows of different lengths, one after another without the padding, and back.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::device::threads;
use crate::lengths::PackedRow;
use crate::ops::common::vector::{GRAIN, some_rows};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, switches};
use crate::{Lengths, Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "pack",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/pack.wgsl")],
    bindings: &[("x", Read), ("rows", Read), ("y", Write)],
    variants: || switches(["UNPACK"]),
    ..Kernel::PLAIN
};

/// `[B,T,C]` as `[frames,C]`, in the order of `lengths`' table.
pub(crate) fn pack(x: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let c = x.shape()[2];
    let packed = Tensor::empty([lengths.frames(), c], &x.device())?;
    if packed.is_empty() {
        return Ok(packed);
    }
    run(x, &packed, lengths, x.shape(), false)?;
    Ok(packed)
}

/// `[frames,C]` as `[B,T,C]`, zero past a row's length.
pub(crate) fn unpack(packed: &Tensor, lengths: &Lengths, timesteps: usize) -> Result<Tensor> {
    let shape = [lengths.values().len(), timesteps, packed.shape()[1]];
    if packed.is_empty() {
        return Tensor::zeros(shape, &packed.device());
    }
    let x = Tensor::empty(shape, &packed.device())?;
    run(packed, &x, lengths, &shape, true)?;
    Ok(x)
}

fn run(x: &Tensor, y: &Tensor, lengths: &Lengths, padded: &[usize], unpack: bool) -> Result<()> {
    let (timesteps, c) = (padded[1], padded[2]);
    let n = padded[0] * timesteps * c;
    if let Some(gpu) = x.gpu() {
        return elementwise(&KERNEL, n)
            .constants(&[("UNPACK", unpack.into())])
            .words(&[timesteps as u32, c as u32])
            .run(gpu, &[Some(x), Some(&lengths.table), Some(y)]);
    }
    let x = x.cpu();
    y.cpu_mut(|y| match unpack {
        true => {
            let mut starts = vec![(0, 0); padded[0]];
            for row in lengths.rows() {
                starts[row.at] = (row.start * c, row.length * c);
            }
            some_rows(y, timesteps * c, |first, y| {
                for (y, &(start, len)) in y.chunks_exact_mut(timesteps * c).zip(&starts[first..]) {
                    let (y, padding) = y.split_at_mut(len);
                    y.copy_from_slice(&x[start..][..len]);
                    padding.fill(0.0);
                }
            });
        }
        false => {
            let jobs = Jobs { rows: lengths.rows(), y, c };
            let threads = threads::count().min(n.div_ceil(GRAIN));
            threads::each(jobs, threads, |(rows, mut y)| {
                for row in rows {
                    let (to, rest) = y.split_at_mut(row.length * c);
                    to.copy_from_slice(&x[row.at * timesteps * c..][..to.len()]);
                    y = rest;
                }
            });
        }
    });
    Ok(())
}

/// Packed rows and their frames, as many as are worth a thread's asking.
struct Jobs<'a> {
    rows: &'a [PackedRow],
    y: &'a mut [f32],
    c: usize,
}

impl<'a> Iterator for Jobs<'a> {
    type Item = (&'a [PackedRow], &'a mut [f32]);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut count, mut words) = (0, 0);
        while words < GRAIN && count < self.rows.len() {
            words += self.rows[count].length * self.c;
            count += 1;
        }
        let (rows, rest) = self.rows.split_at(count);
        let (y, behind) = std::mem::take(&mut self.y).split_at_mut(words);
        (self.rows, self.y) = (rest, behind);
        (count > 0).then_some((rows, y))
    }
}
