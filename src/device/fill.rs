//! Fills a buffer of a GPU: y = value.

use super::gpu::{Gpu, Raw};
use super::kernel::Access::Write;
use super::kernel::{Bound, Dispatch, Kernel, folded, shared, wgsl};
use super::profile::Cost;
use crate::Result;
use std::ops::Range;
use std::sync::Arc;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "fill",
    parts: &[
        wgsl!("common/index.wgsl"),
        wgsl!("common/elementwise.wgsl"),
        wgsl!("elementwise/fill.wgsl"),
    ],
    bindings: &[("y", Write)],
    ..Kernel::PLAIN
};

/// Sets `words` of a buffer to `value`; they may be more than a kernel can bind at a time.
pub(crate) fn fill(gpu: &Arc<Gpu>, raw: &Raw, words: Range<usize>, value: f32) -> Result<()> {
    let each = (gpu.max_binding() as usize / 4 / ALIGN * ALIGN).max(ALIGN);
    words.clone().step_by(each).try_for_each(|begin| {
        let len = each.min(words.end - begin);
        let bound = Bound { raw, offset: begin as u64 * 4, bytes: len as u64 * 4 };
        let dispatch = Dispatch {
            kernel: &KERNEL,
            grid: folded(shared(gpu, len.div_ceil(256))),
            constants: &[],
            uniform: &[len as u32, value.to_bits()],
            bound: &[Some(bound)],
        };
        gpu.record(&dispatch, Cost::default())
    })
}

/// The alignment of bindings on every GPU, in words.
const ALIGN: usize = 64;
