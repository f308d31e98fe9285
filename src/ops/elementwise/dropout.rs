//! y = x where the dice say so, scaled to keep the mean, 0 elsewhere. The backward pass is
//! the same on the gradient, with the same key.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::threefry::Key;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, threefry};
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "dropout",
    parts: &[INDEX, threefry::WGSL, ELEMENTWISE, wgsl!("elementwise/dropout.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `x` is read as `[B,T,C]`. With `same_steps` a row's timesteps share their mask
/// (Gal & Ghahramani 2016).
pub(crate) fn dropout(x: &Tensor, rate: f32, key: Key, same_steps: bool) -> Result<Tensor> {
    let c = x.shape().last().copied().unwrap_or(1);
    let block = match (same_steps, x.shape()) {
        (true, &[_, timesteps, _]) => timesteps * c,
        _ => c,
    };
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len())
            .words(&[c as u32, block as u32, rate.to_bits(), key.0[0], key.0[1]])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| {
                for (i, (y, &x)) in y.iter_mut().zip(x.iter()).enumerate() {
                    let at = i / block * c + i % c;
                    let out = key.floats([at as u32, 2])[0] < rate;
                    *y = if out { 0.0 } else { x / (1.0 - rate) };
                }
            });
        }
    }
    Ok(y)
}
