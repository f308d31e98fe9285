//! Products on the CPU.

use super::Gemm;
use super::matrix::Matrix;
use crate::device::threads;
use crate::tensor::room_for;
use crate::{Result, Tensor};
use gemm_common::Parallelism;

impl Gemm<'_> {
    /// Computes the product in host memory.
    pub(super) fn twin(self, a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'_>) -> Result<()> {
        let Self { m, n, k, .. } = self;
        let (av, bv) = (a.tensor.cpu(), b.tensor.cpu());
        let bias = self.bias.map(Tensor::cpu);
        // Threads that wait for a part of the product may take up other work of the program, which
        // may want C as well: so C is not locked meanwhile.
        let mut sums = room_for("the sums of a product", m * n)?;
        sums.resize(m * n, 0.0);
        if let Some(bias) = &bias {
            for row in sums.chunks_exact_mut(n) {
                row.copy_from_slice(&bias[..n]);
            }
        }
        let mut make = |parallelism| {
            let [a, b] = [(&av, a), (&bv, b)].map(|(words, matrix)| {
                View::of(&words[matrix.offset..], matrix.stride, matrix.transposed)
            });
            product([m, n, k], a, b, (&mut sums, n), bias.is_some(), parallelism);
        };
        c.tensor.on_threads(|| match m * n * k {
            // A tiny product is done before a second thread has woken up.
            0..SMALL => make(Parallelism::None),
            _ => threads::inside(|together| {
                let parallelism = [Parallelism::None, Parallelism::Rayon(0)];
                make(parallelism[usize::from(together)]);
            }),
        });
        c.tensor.cpu_mut(|cv| {
            for (row, sums) in sums.chunks_exact(n).enumerate() {
                let c = &mut cv[c.offset + row * c.stride..][..n];
                if self.accumulate {
                    c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
                } else {
                    c.copy_from_slice(sums);
                }
            }
        });
        Ok(())
    }
}

/// The terms of a product that one thread makes on the host.
const SMALL: usize = 1 << 16;

/// A matrix in host memory.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    stride: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    fn of(data: &'a [f32], stride: usize, transposed: bool) -> Self {
        Self { data, stride, transposed }
    }

    fn holds(self, rows: usize, columns: usize) -> bool {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        (rows - 1) * self.stride + columns <= self.data.len()
    }

    fn strides(self) -> (isize, isize) {
        let stride = self.stride as isize;
        if self.transposed { (stride, 1) } else { (1, stride) }
    }
}

/// c = a b (+ c) on the host; `[m, n, k]`, none of them 0.
fn product(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    (c, c_stride): (&mut [f32], usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert!(m > 0 && n > 0 && k > 0 && a.holds(m, k) && b.holds(k, n));
    assert!((m - 1) * c_stride + n <= c.len() && n <= c_stride);
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    let c_row = c_stride as isize;
    // It wants the numbers of a column of c side by side. Where those of a row are, it makes the
    // transpose: c^T = b^T a^T.
    let ([m, n], [c_column, c_row], left, left_strides, right, right_strides) = if c_row > 1 {
        ([n, m], [c_row, 1], b, [b_row, b_column], a, [a_row, a_column])
    } else {
        ([m, n], [1, c_row], a, [a_column, a_row], b, [b_column, b_row])
    };
    // SAFETY: the assertions above show that each matrix lies inside its slice; `c` is borrowed
    // mutably, so it overlaps neither `a` nor `b`, and n <= c_stride keeps its rows apart. A transpose
    // has the same numbers in the same places.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_column,
            c_row,
            accumulate,
            left.data.as_ptr(),
            left_strides[0],
            left_strides[1],
            right.data.as_ptr(),
            right_strides[0],
            right_strides[1],
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
