//! y = value.

use super::INDEX;
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::Write;
use crate::device::kernel::{Kernel, Launch, folded, wgsl};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "fill",
    parts: &[INDEX, wgsl!("elementwise/fill.wgsl")],
    bindings: &[("y", Write)],
    ..Kernel::PLAIN
};

pub(crate) fn fill(y: &Tensor, value: f32) -> Result<()> {
    match y.gpu() {
        Some(gpu) => on_gpu(gpu, y, value),
        None => {
            y.cpu_mut(|y| y.fill(value));
            Ok(())
        }
    }
}

pub(crate) fn on_gpu(gpu: &Arc<Gpu>, y: &Tensor, value: f32) -> Result<()> {
    if y.is_empty() {
        return Ok(());
    }
    y.windows(y.len(), 1).try_for_each(|window| {
        gpu.run(&Launch {
            kernel: &KERNEL,
            grid: folded(window.len().div_ceil(256)),
            constants: &[],
            uniform: &[window.len() as u32, value.to_bits()],
            tensors: &[Some(&y.window(&window))],
        })
    })
}
