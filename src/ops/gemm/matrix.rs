//! What a product takes: matrices inside tensors.

use crate::{DType, Tensor};

/// A matrix inside a tensor, its rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) offset: usize,
    pub(super) stride: usize,
    pub(super) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements, side by side, from the tensor's begin.
    pub(crate) fn new(tensor: &'a Tensor, columns: usize) -> Self {
        Self { tensor, offset: 0, stride: columns, transposed: false }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The matrix that begins `elements` further on.
    pub(crate) fn skip(self, elements: usize) -> Self {
        Self { offset: self.offset + elements, ..self }
    }

    /// The matrix with rows that are `stride` elements apart.
    #[cfg(test)]
    pub(crate) fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// From row `first` of op(A) on.
    pub(super) fn skip_rows(self, first: usize) -> Self {
        self.skip(first * if self.transposed { 1 } else { self.stride })
    }

    /// From column `first` of op(B) on.
    pub(super) fn skip_columns(self, first: usize) -> Self {
        self.t().skip_rows(first).t()
    }

    /// Whether it can be read in vectors of 4: each row begins at one, and the last one ends in the
    /// tensor.
    pub(super) fn in_fours(self, rows: usize, columns: usize) -> bool {
        let whole = self.extent(rows, columns).next_multiple_of(4) <= self.tensor.len();
        self.offset.is_multiple_of(4) && self.stride.is_multiple_of(4) && whole
    }

    pub(super) fn dtype(self) -> DType {
        self.tensor.dtype()
    }

    /// The elements from the begin of the tensor to the end of this matrix.
    pub(super) fn extent(self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        self.offset + (rows - 1) * self.stride + columns
    }
}
