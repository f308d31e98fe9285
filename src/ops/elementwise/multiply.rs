//! y = a b, element by element.

use crate::check::Check;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::map;
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::ops::elementwise::merge::Kind;
use crate::{Result, Tensor};

pub(crate) static KERNEL: Kernel = Kernel {
    name: "multiply",
    parts: &[INDEX, ELEMENTWISE, wgsl!("elementwise/multiply.wgsl")],
    bindings: &[("a", Read), ("b", Read), ("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) fn multiply(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let check = Check::new("multiply", "both have one shape");
    check.shape("b", b, "of `a`", a.shape())?;
    check.device(a, &[("b", b)])?;
    let y = Tensor::empty(a.shape(), &a.device())?;
    match a.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len()).run(gpu, &[Some(a), Some(b), Some(&y)])?,
        None => {
            let (a, b) = (a.cpu(), b.cpu());
            y.cpu_mut(|y| map(&Kind::Product, [&a, &b], [y]));
        }
    }
    Ok(y)
}
