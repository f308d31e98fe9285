//! Ops on tensors of any number of axes, as graphs are made of that other programs wrote: no tape, and no layer
//! of this crate calls them.
//!
//! All tensors are of f32; a boolean is 1 or 0, and anything but 0 is true. An axis may be empty, and a tensor
//! may have no axes, which is one number. Once axes that lie together are joined, eight are left at most;
//! more are [`Error::Rank`](crate::Error::Rank). Whatever places, sizes and axes a graph gives are checked here.
//!
//! A tensor is always dense, so that an op which only renames axes is [`Tensor::reshape`](crate::Tensor::reshape),
//! and all others that move numbers are [`strided`].
