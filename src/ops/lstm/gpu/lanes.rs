//! The directions of a layer, or layers of a stack, in the same dispatches.
//!
//! Two dispatches of one pass overlap only where wgpu puts no barrier between them. It puts one before a
//! dispatch that binds any buffer, as a whole, which was written since that buffer's last barrier, and
//! on Vulkan a barrier waits for all work before it, not for that buffer's alone. So of two recurrences,
//! each of which follows its own product, the second always waits for the first, whatever the order and the
//! buffers; a buffer that the pool hands out twice in one pass does the same; and Metal runs the
//! dispatches of a pass one by one. What is to overlap therefore is one dispatch, each of whose
//! workgroups runs one of its *lanes* (`way` in `shaders/lstm/parts/rows.wgsl`), and what the lanes have
//! apart lies in one buffer, one lane's after the other's, since a kernel has no bindings left.

use crate::device::Backend;
use crate::device::gpu::Gpu;
use crate::ops::elementwise::copy::copy;
use crate::ops::lstm::Sizes;
use crate::tensor::Storage;
use crate::{Device, Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// Words of 256 bytes: where every GPU can bind.
pub(super) const ALIGN_WORDS: usize = 64;

/// A tensor for each lane, in one buffer.
#[derive(Clone)]
pub(crate) struct Strided {
    pub(super) tensor: Tensor,
    /// Elements from one lane's to the next's.
    pub(super) stride: usize,
    /// Elements of each lane.
    pub(super) len: usize,
}

/// The words of so many elements, which fill them.
fn words(tensor: &Tensor, elements: usize) -> usize {
    if tensor.is_half() { elements / 2 } else { elements }
}

/// The elements of so many words.
fn elements(tensor: &Tensor, words: usize) -> usize {
    if tensor.is_half() { 2 * words } else { words }
}

impl Strided {
    /// So many elements for each lane, before anything is in them. Where there are several lanes and
    /// a kernel binds one alone, a multiple of [`ALIGN_WORDS`] words.
    pub(super) fn empty(gpu: &Arc<Gpu>, half: bool, lanes: usize, len: usize) -> Result<Self> {
        let tensor = match half {
            true => Tensor::empty_f16([lanes * len], gpu)?,
            false => Tensor::empty([lanes * len], &Device(Backend::Gpu(gpu.clone())))?,
        };
        Ok(Self { tensor, stride: len, len })
    }

    /// The tensor of each lane, if they lie in one buffer, as parameters and what was made by
    /// [`Self::empty`] do.
    pub(super) fn view<'a>(lanes: usize, at: impl Fn(usize) -> &'a Tensor) -> Option<Self> {
        let (first, last) = (at(0), at(lanes - 1));
        let (len, from) = (first.len(), first.offset);
        let stride = match lanes {
            1 => len,
            _ => elements(first, at(1).offset.checked_sub(from)?),
        };
        let here = |lane: usize| {
            let place = from + words(first, lane * stride);
            same_buffer(first, at(lane)) && at(lane).offset == place
        };
        // Kernels count in vec4.
        let fits = lanes == 1 || stride.is_multiple_of(4) && stride >= len;
        let span = elements(first, last.offset.checked_sub(from)?) + last.len();
        (fits && (0..lanes).all(here)).then(|| Self { tensor: first.view(0, [span]), stride, len })
    }

    /// The tensor of each lane, as [`Self::view`] gives them; copies where they lie apart.
    pub(super) fn of<'a>(
        gpu: &Arc<Gpu>,
        lanes: usize,
        at: impl Fn(usize) -> &'a Tensor + Copy,
    ) -> Result<Self> {
        if let Some(view) = Self::view(lanes, at) {
            return Ok(view);
        }
        let copies = Self::aligned(gpu, at(0).is_half(), lanes, at(0).len())?;
        for lane in 0..lanes {
            copy(&as_words(at(lane)), &as_words(&copies.lane(lane, [copies.len])))?;
        }
        Ok(copies)
    }

    /// [`Self::empty`] with so many elements between lanes that each begins where a kernel can bind it.
    pub(super) fn aligned(gpu: &Arc<Gpu>, half: bool, lanes: usize, len: usize) -> Result<Self> {
        let all = Self::empty(gpu, half, lanes, len.next_multiple_of(2 * ALIGN_WORDS))?;
        Ok(Self { len, ..all })
    }

    /// What one lane has.
    pub(super) fn lane(&self, lane: usize, shape: impl Into<Vec<usize>>) -> Tensor {
        self.tensor.view(words(&self.tensor, lane * self.stride), shape)
    }

    /// Some of the lanes.
    pub(super) fn lanes(&self, lanes: &Range<usize>) -> Self {
        self.span(lanes.start * self.stride, lanes.len(), self.stride, self.len)
    }

    /// A block of `len` elements of each of some lanes: of the first lane block `number`, of each other
    /// the one before its neighbour's.
    pub(super) fn diagonal(&self, lanes: &Range<usize>, number: usize, len: usize) -> Self {
        let at = lanes.start * self.stride + number * len;
        self.span(at, lanes.len(), self.stride - len, len)
    }

    fn span(&self, at: usize, lanes: usize, stride: usize, len: usize) -> Self {
        let tensor = self.tensor.view(words(&self.tensor, at), [(lanes - 1) * stride + len]);
        Self { tensor, stride, len }
    }
}

/// The words of a tensor, whatever they mean.
fn as_words(tensor: &Tensor) -> Tensor {
    let mut all = Tensor::whole(tensor.storage.clone(), words(tensor, tensor.len()));
    all.offset = tensor.offset;
    all
}

pub(super) fn same_buffer(a: &Tensor, b: &Tensor) -> bool {
    match (&a.storage, &b.storage) {
        (Storage::Gpu(a), Storage::Gpu(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// The frames from one lane's to the next's: a lane's begin where a kernel can bind them, whether
/// a frame has one value of each unit or four.
pub(super) fn frames_apart(lanes: usize, frames: usize, hidden_size: usize) -> usize {
    frames.next_multiple_of(if lanes == 1 { 1 } else { aligned_frames(hidden_size) })
}

/// Frames with one value of each unit that are a multiple of [`ALIGN_WORDS`] words.
pub(crate) fn aligned_frames(hidden_size: usize) -> usize {
    ALIGN_WORDS >> hidden_size.trailing_zeros().min(ALIGN_WORDS.trailing_zeros())
}

/// Pairs of states `[B,H]` of each lane, in one buffer: h, then c.
#[derive(Clone)]
pub(super) struct States {
    pub(super) tensor: Tensor,
    pairs: usize,
    pub(super) c_offset: usize,
    shape: [usize; 2],
}

impl States {
    pub(super) fn new(lanes: usize, pairs: usize, sizes: Sizes, device: &Device) -> Result<Self> {
        let c_offset = (sizes.batch * sizes.hidden_size).next_multiple_of(ALIGN_WORDS);
        Ok(Self {
            tensor: Tensor::empty([lanes * 2 * pairs, c_offset], device)?,
            pairs,
            c_offset,
            shape: [sizes.batch, sizes.hidden_size],
        })
    }

    /// The states of all lanes from this one on.
    pub(super) fn after(&self, lane: usize) -> Self {
        let first = 2 * lane * self.pairs * self.c_offset;
        Self { tensor: self.tensor.view(first, [self.tensor.len() - first]), ..*self }
    }

    /// h and c of a lane.
    pub(super) fn pair(&self, lane: usize, pair: usize) -> [Tensor; 2] {
        let first = 2 * (lane * self.pairs + pair);
        [first, first + 1].map(|at| self.tensor.view(at * self.c_offset, self.shape))
    }

    /// Copies h and c of a lane into a pair.
    pub(super) fn set(&self, lane: usize, pair: usize, state: (&Tensor, &Tensor)) -> Result<()> {
        let [h, c] = self.pair(lane, pair);
        copy(state.0, &h)?;
        copy(state.1, &c)
    }
}
