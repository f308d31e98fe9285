//! What a product takes: matrices inside tensors.

use crate::{DType, Tensor};

/// A matrix inside a tensor, its rows `stride` elements apart; or `count` of them, `apart` elements from begin to
/// begin.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) offset: usize,
    pub(super) stride: usize,
    pub(super) transposed: bool,
    pub(super) count: usize,
    pub(super) apart: usize,
    /// Whether its elements may be rounded to 16 bits on their way.
    pub(super) rounded: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements, side by side, from the tensor's begin.
    pub(crate) fn new(tensor: &'a Tensor, columns: usize) -> Self {
        Self {
            tensor,
            offset: 0,
            stride: columns,
            transposed: false,
            count: 1,
            apart: 0,
            rounded: false,
        }
    }

    /// The weights `[inputs,units]` of a layer, which lie there as such, or `by_unit` as `[units,inputs]`.
    pub(crate) fn of_units(tensor: &'a Tensor, [inputs, units]: [usize; 2], by_unit: bool) -> Self {
        if by_unit { Self::new(tensor, inputs).t() } else { Self::new(tensor, units) }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The matrix whose elements may be rounded to 16 bits where that is faster, as mixed precision has them.
    pub(crate) fn rounded(self, rounded: bool) -> Self {
        Self { rounded, ..self }
    }

    /// So many such matrices, each `elements` behind the one before it.
    pub(crate) fn batch(self, count: usize, elements: usize) -> Self {
        Self { count, apart: elements, ..self }
    }

    /// `count` matrices of a batch, from number `first` on.
    pub(super) fn part(self, first: usize, count: usize) -> Self {
        self.skip(first * self.apart).batch(count, self.apart)
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

    /// Whether they can be read in vectors of 4: each row begins at one, and the last one ends in the
    /// tensor.
    pub(super) fn in_fours(self, rows: usize, columns: usize) -> bool {
        let whole = self.extent(rows, columns).next_multiple_of(4) <= self.tensor.len();
        [self.offset, self.stride, self.apart].iter().all(|at| at.is_multiple_of(4)) && whole
    }

    pub(super) fn dtype(self) -> DType {
        self.tensor.dtype()
    }

    /// The elements from the begin of the tensor to the end of this matrix, or of a batch's last one.
    pub(super) fn extent(self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        self.offset + (self.count - 1) * self.apart + (rows - 1) * self.stride + columns
    }
}
