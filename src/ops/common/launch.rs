//! One launch of a kernel on tensors.

use crate::device::gpu::Gpu;
use crate::device::kernel::{Bound, Constant, Dispatch, Kernel};
use crate::device::profile::Cost;
use crate::tensor::{Storage, Tensor};
use crate::{Error, Result};

/// The most tensors that a launch can have.
const MOST: usize = 16;

/// What a kernel is to do. Slices, so that a launch allocates nothing.
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) constants: &'a [Constant],
    /// The uniform's words; an f32 by its bits.
    pub(crate) uniform: &'a [u32],
    /// In the order of `Kernel::bindings`; `None` where a constant says that it is unused.
    pub(crate) tensors: &'a [Option<&'a Tensor>],
}

impl Gpu {
    /// Records a launch.
    pub(crate) fn run(&self, launch: &Launch<'_>) -> Result<()> {
        self.run_costing(launch, Cost::default())
    }

    /// Records a launch, and tells a profile what work it is.
    pub(crate) fn run_costing(&self, launch: &Launch<'_>, cost: Cost) -> Result<()> {
        let &Launch { kernel, grid, constants, uniform, tensors } = launch;
        let mut bound = [None; MOST];
        for (slot, tensor) in tensors.iter().enumerate() {
            let Some(tensor) = tensor else { continue };
            let Storage::Gpu(buffer) = &tensor.storage else {
                let message = format!("{}: a CPU tensor in slot {slot}", kernel.name);
                return Err(Error::Gpu { message });
            };
            let (offset, bytes) = (tensor.offset as u64 * 4, tensor.bytes().max(4));
            bound[slot] = Some(Bound { raw: &buffer.raw, offset, bytes });
        }
        let bound = &bound[..tensors.len()];
        self.record(&Dispatch { kernel, grid, constants, uniform, bound }, cost)
    }
}
