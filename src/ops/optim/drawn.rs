//! Which parameters an optimizer moves: all of them, or some rows of a table; and how they lie in
//! what a GPU can bind at a time.

use crate::device::kernel::{Wgsl, wgsl};
use crate::{Device, Result, Tensor};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub(crate) const WGSL: Wgsl = wgsl!("optim/parts/drawn.wgsl");

/// The gradient of some rows of a table: of all others it is 0.
#[derive(Debug, Clone)]
pub(crate) struct RowGradient {
    /// The rows' numbers, each once, in their order.
    pub(crate) rows: Arc<[u32]>,
    /// `[rows,E]`
    pub(crate) values: Tensor,
}

impl RowGradient {
    pub(super) fn size(&self) -> usize {
        self.values.len() / self.rows.len().max(1)
    }

    /// The rows' numbers, for the kernels.
    pub(crate) fn upload(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_u32(&self.rows, [self.rows.len()], device)
    }
}

/// One launch of an optimizer's kernel.
pub(crate) struct Pass {
    /// The elements of the parameters that a pass moves.
    pub(crate) at: Range<usize>,
    /// The elements that are moved, and those of the gradient before them.
    pub(crate) n: usize,
    skip: usize,
    size: usize,
    /// The element, or the row of a table, that the pass begins at.
    base: usize,
}

impl Pass {
    /// The launches that move `p`, or some of its rows.
    pub(crate) fn all(p: &Tensor, drawn: Option<&RowGradient>) -> Vec<Self> {
        let Some(drawn) = drawn else {
            let windows = p.windows(p.len(), 1);
            let pass =
                |at: Range<usize>| Self { n: at.len(), base: at.start, at, skip: 0, size: 1 };
            return windows.map(pass).collect();
        };
        let size = drawn.size().max(1);
        let pass = |window: Range<usize>| {
            let of = |row: usize| drawn.rows.partition_point(|&r| (r as usize) < row);
            let (first, end) = (of(window.start), of(window.end));
            let at = window.start * size..window.end * size;
            Self { at, n: (end - first) * size, skip: first * size, size, base: window.start }
        };
        let windows = p.windows(p.len() / size, size).map(pass);
        windows.filter(|pass| pass.n > 0).collect()
    }

    /// The last words of the kernels' uniform.
    pub(crate) fn words(&self) -> [u32; 3] {
        [self.skip, self.size, self.base].map(|word| word as u32)
    }

    /// What of a tensor as large as the parameters this launch sees.
    pub(crate) fn view<'a>(&self, tensor: &'a Tensor) -> Cow<'a, Tensor> {
        tensor.window(&self.at)
    }

    /// The gradient, which is as large as the parameters unless it is of rows.
    pub(crate) fn gradient<'a>(
        &self,
        g: &'a Tensor,
        drawn: Option<&RowGradient>,
    ) -> Cow<'a, Tensor> {
        match drawn {
            Some(_) => Cow::Borrowed(g),
            None => self.view(g),
        }
    }
}
