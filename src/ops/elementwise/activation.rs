//! Elementwise activations, and their gradients.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ACTIVATIONS, ELEMENTWISE, INDEX, IS_NAN, elementwise, math};
use crate::{Result, Tensor};
use pulp::Simd;

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

const SIGMOID: u32 = Kind::Sigmoid as u32;
const TANH: u32 = Kind::Tanh as u32;
const RELU: u32 = Kind::Relu as u32;

/// act(x) of vectors, as the kernel.
struct Activate<const KIND: u32>;

impl<const KIND: u32> Map<1, 1> for Activate<KIND> {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        let zero = simd.splat_f32s(0.0);
        [match KIND {
            SIGMOID => math::sigmoid(simd, x),
            TANH => math::tanh(simd, x),
            // Not a maximum: a NaN stays.
            _ => simd.select_f32s(simd.less_than_f32s(x, zero), zero, x),
        }]
    }
}

/// d_y act'(x) of vectors, from y.
struct Slope<const KIND: u32>;

impl<const KIND: u32> Map<2, 1> for Slope<KIND> {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [y, d_y]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        [match KIND {
            SIGMOID => simd.mul_f32s(simd.mul_f32s(d_y, y), simd.sub_f32s(one, y)),
            TANH => simd.mul_f32s(d_y, simd.sub_f32s(one, simd.mul_f32s(y, y))),
            _ => simd.select_f32s(simd.less_than_or_equal_f32s(y, zero), zero, d_y),
        }]
    }
}

pub(crate) fn activation(kind: Kind, x: &Tensor) -> Result<Tensor> {
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&FORWARD, x.len())
            .constants(&[("KIND", kind as u32)])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            y.cpu_mut(|y| match kind {
                Kind::Sigmoid => map(&Activate::<SIGMOID>, [&x], [y]),
                Kind::Tanh => map(&Activate::<TANH>, [&x], [y]),
                Kind::Relu => map(&Activate::<RELU>, [&x], [y]),
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
            d_x.cpu_mut(|d_x| match kind {
                Kind::Sigmoid => map(&Slope::<SIGMOID>, [&y, &d_y], [d_x]),
                Kind::Tanh => map(&Slope::<TANH>, [&y, &d_y], [d_x]),
                Kind::Relu => map(&Slope::<RELU>, [&y, &d_y], [d_x]),
            });
        }
    }
    Ok(d_x)
}
