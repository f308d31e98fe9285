//! The directions of a layer, or layers of a stack, in the same dispatches.
//!
//! Two dispatches of one pass overlap only where wgpu puts no barrier between them. It puts one before a
//! dispatch that binds any buffer, as a whole, which was written since that buffer's last barrier, and
//! on Vulkan a barrier waits for all work before it, not for that buffer's alone. So of two recurrences,
//! each of which follows its own product, the second always waits for the first, whatever the order and the
//! buffers; a buffer that the pool hands out twice in one pass does the same; and Metal runs the
//! dispatches of a pass one by one. What is to overlap therefore is one dispatch, each of whose
//! workgroups runs one of its *ways* (`way` in `shaders/common/lstm_rows.wgsl`), and what the ways have
//! apart lies in one buffer, one way's after the other's, since a kernel has no bindings left.

use super::How;
use crate::device::Backend;
use crate::device::gpu::Gpu;
use crate::ops::copy::copy;
use crate::tensor::Storage;
use crate::{Device, Result, Tensor};
use std::sync::Arc;

/// Words of 256 bytes, a place where every GPU can bind.
pub(super) const PLACE: usize = 64;

/// A tensor for each way, in one buffer.
pub(super) struct Beside {
    pub(super) tensor: Tensor,
    /// Elements from one way's to the next's.
    pub(super) stride: usize,
}

/// The words of so many elements, which fill them.
fn words(tensor: &Tensor, elements: usize) -> usize {
    if tensor.is_half() { elements / 2 } else { elements }
}

/// The elements of so many words.
fn elements(tensor: &Tensor, words: usize) -> usize {
    if tensor.is_half() { 2 * words } else { words }
}

impl Beside {
    /// So many elements for each way, before anything is in them. Where there are several ways and
    /// a kernel binds one alone, a multiple of [`PLACE`] words.
    pub(super) fn empty(gpu: &Arc<Gpu>, half: bool, ways: usize, elements: usize) -> Result<Self> {
        let tensor = match half {
            true => Tensor::empty_f16([ways * elements], gpu)?,
            false => Tensor::empty([ways * elements], &Device(Backend::Gpu(gpu.clone())))?,
        };
        Ok(Self { tensor, stride: elements })
    }

    /// The tensor of each way, if they lie in one buffer, as parameters and what was made by
    /// [`Self::empty`] do.
    pub(super) fn view<'a>(ways: usize, at: impl Fn(usize) -> &'a Tensor) -> Option<Self> {
        let (first, last) = (at(0), at(ways - 1));
        let stride = match ways {
            1 => first.len(),
            _ => elements(first, at(1).offset.checked_sub(first.offset)?),
        };
        let here = |way: usize| {
            let place = first.offset + words(first, way * stride);
            same_buffer(first, at(way)) && at(way).offset == place
        };
        // Kernels count in vec4.
        let fits = ways == 1 || stride.is_multiple_of(4) && stride >= first.len();
        let span = elements(first, last.offset.checked_sub(first.offset)?) + last.len();
        (fits && (0..ways).all(here)).then(|| Self { tensor: first.view(0, [span]), stride })
    }

    /// The same; copies where they do not.
    pub(super) fn of<'a>(
        gpu: &Arc<Gpu>,
        ways: usize,
        at: impl Fn(usize) -> &'a Tensor + Copy,
    ) -> Result<Self> {
        if let Some(view) = Self::view(ways, at) {
            return Ok(view);
        }
        let (half, len) = (at(0).is_half(), at(0).len());
        let copies = Self::empty(gpu, half, ways, len.next_multiple_of(2 * PLACE))?;
        for way in 0..ways {
            copy(&as_words(at(way)), &as_words(&copies.way(way, [len])))?;
        }
        Ok(copies)
    }

    /// Each way's `len` elements.
    pub(super) fn into_ways(self, ways: usize, len: usize) -> impl Iterator<Item = Tensor> {
        let stride = words(&self.tensor, self.stride);
        let mut whole = Some(self.tensor);
        (0..ways).filter_map(move |way| match ways {
            // Without a piece of memory for another shape.
            1 => whole.take(),
            _ => whole.as_ref().map(|whole| whole.view(way * stride, [len])),
        })
    }

    /// Other ways in the same buffer: the first from element `at` on, each `stride` behind the one
    /// before, with `len` elements.
    pub(super) fn span(&self, at: usize, ways: usize, stride: usize, len: usize) -> Self {
        let span = (ways - 1) * stride + len;
        Self { tensor: self.tensor.view(words(&self.tensor, at), [span]), stride }
    }

    /// One way's.
    pub(super) fn way(&self, way: usize, shape: impl Into<Vec<usize>>) -> Tensor {
        self.tensor.view(words(&self.tensor, way * self.stride), shape)
    }
}

/// The words of a tensor, whatever they mean.
fn as_words(tensor: &Tensor) -> Tensor {
    let mut all = Tensor::whole(tensor.storage.clone(), words(tensor, tensor.len()));
    all.offset = tensor.offset;
    all
}

fn same_buffer(a: &Tensor, b: &Tensor) -> bool {
    match (&a.storage, &b.storage) {
        (Storage::Gpu(a), Storage::Gpu(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// The frames from one way's to the next's: a way's begin where a kernel can bind them, whether
/// a frame has one value of each unit or four.
pub(super) fn frames_apart(ways: usize, frames: usize, hidden_size: usize) -> usize {
    frames.next_multiple_of(if ways == 1 { 1 } else { frames_place(hidden_size) })
}

/// Of so many frames each the next may begin.
pub(super) fn frames_place(hidden_size: usize) -> usize {
    PLACE >> hidden_size.trailing_zeros().min(PLACE.trailing_zeros())
}

/// What the kernels are told of the ways.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    pub(super) count: usize,
    /// From one way's to the next's: frames, and vec4s of R and of the peepholes.
    pub(super) frames: usize,
    pub(super) r: usize,
    pub(super) peepholes: usize,
    /// And outputs.
    pub(super) y: usize,
    /// By bits, for each way.
    pub(super) reverse: usize,
    /// Of the second way's dice.
    pub(super) key: [u32; 2],
}

impl Ways {
    pub(super) fn new(
        hows: impl Iterator<Item = How>,
        frames: usize,
        r: &Beside,
        peepholes: Option<&Beside>,
        y: usize,
    ) -> Self {
        let (mut count, mut reverse, mut key) = (0, 0, [0; 2]);
        for how in hows {
            reverse |= usize::from(how.reverse) << count;
            if count == 1 {
                key = how.noise.key.0;
            }
            count += 1;
        }
        let peepholes = peepholes.map_or(0, |p| p.stride / 4);
        Self { count, frames, r: r.stride / 4, peepholes, y, reverse, key }
    }
}
