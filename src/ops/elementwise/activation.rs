//! Elementwise activations, and their gradients.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::ops::common::{ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, elementwise};
use crate::{Result, Tensor};

pub(crate) static FORWARD: Kernel = Kernel {
    name: "activation",
    parts: &[IS_NAN, ACTIVATIONS, INDEX, ELEMENTWISE, wgsl!("elementwise/activation.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: kinds,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "activation_bwd",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/activation_bwd.wgsl")],
    bindings: &[("y", Read), ("d_y", Read), ("d_x", Write)],
    variants: kinds,
    ..Kernel::PLAIN
};

fn kinds() -> Vec<Constants> {
    (0..3).map(|kind| vec![("KIND", kind)]).collect()
}

/// An activation function; the number is the kernels' `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sigmoid = 0,
    Tanh = 1,
    Relu = 2,
}

pub(crate) fn activation(kind: Kind, x: &Tensor) -> Result<Tensor> {
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&FORWARD, x.len())
            .constants(&[("KIND", kind as u32)])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| {
                for (y, &x) in y.iter_mut().zip(&*x) {
                    *y = match kind {
                        Kind::Sigmoid => sigmoid(x),
                        Kind::Tanh => x.tanh(),
                        // Not max(): a NaN stays.
                        Kind::Relu => {
                            if x < 0.0 {
                                0.0
                            } else {
                                x
                            }
                        }
                    };
                }
            });
        }
    }
    Ok(y)
}

/// The gradient of `x`, from `y` = act(x).
pub(crate) fn backward(kind: Kind, y: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    let d_x = Tensor::empty(y.shape(), &y.device())?;
    match y.gpu() {
        Some(gpu) => elementwise(&BACKWARD, y.len())
            .constants(&[("KIND", kind as u32)])
            .run(gpu, &[Some(y), Some(d_y), Some(&d_x)])?,
        None => {
            let (y, d_y) = (y.cpu(), d_y.cpu());
            d_x.cpu_mut(|d_x| {
                for ((d_x, &y), &d_y) in d_x.iter_mut().zip(&*y).zip(&*d_y) {
                    *d_x = match kind {
                        Kind::Sigmoid => d_y * y * (1.0 - y),
                        Kind::Tanh => d_y * (1.0 - y * y),
                        Kind::Relu => {
                            if y <= 0.0 {
                                0.0
                            } else {
                                d_y
                            }
                        }
                    };
                }
            });
        }
    }
    Ok(d_x)
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
