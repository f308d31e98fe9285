//! The frames of rows of different lengths, one after another without the padding, and back.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
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
    run(x, &packed, lengths, x.shape(), false)?;
    Ok(packed)
}

/// `[frames,C]` as `[B,T,C]`, zero past a row's length.
pub(crate) fn unpack(packed: &Tensor, lengths: &Lengths, timesteps: usize) -> Result<Tensor> {
    let shape = [lengths.values().len(), timesteps, packed.shape()[1]];
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
    y.cpu_mut(|y| {
        if unpack {
            y.fill(0.0);
        }
        for row in lengths.rows() {
            let (inside, outside) = (row.start * c, row.at * timesteps * c);
            let words = row.length * c;
            let (from, to) = if unpack { (inside, outside) } else { (outside, inside) };
            y[to..to + words].copy_from_slice(&x[from..from + words]);
        }
    });
    Ok(())
}
