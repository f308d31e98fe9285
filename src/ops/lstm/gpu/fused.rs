//! What the input adds to the gates, made by the workgroups of a pass that keeps nothing, instead of by a product
//! before it: see `shaders/lstm/parts/fused.wgsl`.

use super::dims::Dims;
use super::lanes::{ALIGN_WORDS, Strided, same_buffer};
use crate::Result;
use crate::Tensor;
use crate::device::gpu::Gpu;
use crate::ops::elementwise::copy::copy;
use crate::ops::lstm::{Forward, Sizes};
use std::sync::Arc;

/// Timesteps times values of an input, at most. By the loads that it needs a workgroup of 64 units takes some 2 us of a
/// card for 16 steps of 64 values, of which it would have waited a third for the others: 6 us for all of these. A
/// product has the whole card, but no less than 5 us from one dispatch to the next and as many of its own; of
/// 2048 frames of 64 values for 128 units it took 22 (an H200).
const MOST_TERMS: usize = 4096;
/// Values of an input, at most.
const MOST_INPUTS: usize = 128;
/// A product of so few frames sums up in another order.
const FEW_FRAMES: usize = 8;

/// Whether a pass of the plain cell that keeps nothing makes it itself, if it goes by workgroups that share R: on
/// hardware, of short sequences of few values, with weights that lie together.
pub(super) fn pays(calls: &[Forward<'_>], sizes: Sizes) -> bool {
    let Some(gpu) = calls.first().and_then(|call| call.x.gpu()) else { return false };
    let Sizes { batch, timesteps, input_size, .. } = sizes;
    let small = input_size <= MOST_INPUTS && timesteps * input_size <= MOST_TERMS;
    let frames = calls[0].lengths.map_or(batch * timesteps, |lengths| lengths.frames());
    let able = !gpu.info.software && small && frames > FEW_FRAMES;
    // Tests of forced teams want it wherever their weights lie.
    let forced = || gpu.forced().workgroups.is_some();
    able && (forced() || Input::together(gpu, calls).is_some())
}

/// The weights and the bias of each lane, in one binding.
pub(crate) struct Input {
    /// Values of an input.
    pub(crate) size: usize,
    pub(super) w: Tensor,
    /// Where the first lane's lie in it, in vec4; how far the next one's are from there.
    weights: [u32; 2],
    bias: Option<[u32; 2]>,
}

/// What stands for no bias, `NONE` in the shader.
const NONE: u32 = 0x8000_0000;

impl Input {
    /// Those of all directions; copies where they lie apart.
    pub(crate) fn of(gpu: &Arc<Gpu>, calls: &[Forward<'_>], sizes: Sizes) -> Result<Self> {
        if let Some(together) = Self::together(gpu, calls) {
            return Ok(together);
        }
        let Sizes { input_size, hidden_size, .. } = sizes;
        let (weights, bias) = (4 * input_size * hidden_size, 4 * hidden_size);
        let apart = weights.next_multiple_of(ALIGN_WORDS);
        let all = Strided::aligned(gpu, false, calls.len(), apart + bias)?;
        for (lane, call) in calls.iter().enumerate() {
            let lane = all.lane(lane, [all.len]);
            copy(&call.weights.weight_ih, &lane.view(0, [weights]))?;
            if let Some(values) = &call.weights.bias {
                copy(values, &lane.view(apart, [bias]))?;
            }
        }
        let biased = calls.first().is_some_and(|call| call.weights.bias.is_some());
        let way = (all.stride / 4) as u32;
        let bias = biased.then_some([(apart / 4) as u32, way]);
        Ok(Self { size: input_size, w: all.tensor, weights: [0, way], bias })
    }

    /// The same where they lie in one buffer, as parameters do.
    fn together(gpu: &Gpu, calls: &[Forward<'_>]) -> Option<Self> {
        let weights: Vec<_> = calls.iter().map(|call| &call.weights.weight_ih).collect();
        let biases: Vec<_> = calls.iter().filter_map(|call| call.weights.bias.as_ref()).collect();
        let all = || weights.iter().chain(&biases);
        let first = all().map(|tensor| tensor.offset).min()?;
        let end = all().map(|tensor| tensor.offset + tensor.len()).max()?;
        let fits = |tensor: &&Tensor| {
            same_buffer(tensor, weights[0]) && (tensor.offset - first).is_multiple_of(4)
        };
        let alike = biases.is_empty() || biases.len() == weights.len();
        if !alike || !all().all(fits) || 4 * (end - first) as u64 > gpu.max_binding() {
            return None;
        }
        let place = |of: &[&Tensor]| {
            let at = |tensor: &Tensor| ((tensor.offset - first) / 4) as u32;
            let begin = of.first().map(|tensor| at(tensor))?;
            Some([begin, of.get(1).map_or(0, |tensor| at(tensor).wrapping_sub(begin))])
        };
        let mut w = Tensor::whole(weights[0].storage.clone(), end - first);
        w.offset = first;
        let (places, bias) = (place(&weights)?, place(&biases));
        Some(Self { size: *weights[0].shape().first()?, w, weights: places, bias })
    }

    /// A uniform that says where all of it is.
    pub(super) fn told(&self, dims: Dims) -> Dims {
        let ([w_at, w_way], [bias_at, bias_way]) = (self.weights, self.bias.unwrap_or([NONE, 0]));
        Dims { inputs: self.size as u32, w_at, w_way, bias_at, bias_way, ..dims }
    }
}
