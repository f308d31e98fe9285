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
        let bias = bias.as_ref().map(|bias| &bias[..n]);
        let [a, b] = [(&av, a), (&bv, b)].map(|(words, matrix)| {
            View::of(&words[matrix.offset..], matrix.stride, matrix.transposed)
        });
        if m.div_ceil(BLOCK[0]) * n.div_ceil(BLOCK[1]) >= MANY {
            c.tensor.cpu_mut(|cv| {
                let c = (&mut cv[c.offset..], c.stride);
                in_blocks([m, n, k], a, b, bias, c, self.accumulate);
            });
            return Ok(());
        }
        // Threads that wait for a part of the product may take up other work of the program, which
        // may want C as well: so C is not locked meanwhile.
        let slices = if k >= LONG && m * n <= FEW { slices(k) } else { 1 };
        let mut sums = room_for("the sums of a product", slices * m * n)?;
        sums.resize(slices * m * n, 0.0);
        c.tensor.on_threads(|| match slices {
            1 => in_one([m, n, k], a, b, bias, &mut sums),
            _ => in_slices([m, n, k], a, b, bias, &mut sums),
        });
        c.tensor.cpu_mut(|cv| {
            for (row, sums) in sums[..m * n].chunks_exact(n).enumerate() {
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

/// The terms of a product that one thread makes on the host, before a second one has woken up. (The library of
/// products gives work to a second one from about as many on, but is called on another thread before it can tell.)
const SMALL: usize = 1 << 19;

/// The rows and columns of C that a thread makes at a time where C has many such blocks: a cache of its own has
/// room for them, and nothing is made twice.
const BLOCK: [usize; 2] = [256, 1024];
const MANY: usize = 8;

/// Sums of so many terms and more, of so few numbers, are cut into slices, as else most threads had nothing to do.
const LONG: usize = 1 << 13;
const FEW: usize = 1 << 16;
/// The most terms of a slice.
const SLICE: usize = 1 << 11;

/// How many slices there are of so many terms: as many for each of two threads, or of four, and none empty.
fn slices(terms: usize) -> usize {
    let each = terms.div_ceil(terms.div_ceil(SLICE).next_multiple_of(4));
    terms.div_ceil(each)
}

/// The terms that are added up by themselves, before they go to C: as many as a cache has room for.
const TERMS: usize = 1 << 9;
/// The rows of a product with one column that are made alike.
const ALIKE: usize = 1 << 8;

/// A matrix in host memory.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    stride: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    pub(crate) fn of(data: &'a [f32], stride: usize, transposed: bool) -> Self {
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

    /// From this row and column on.
    fn skip(self, row: usize, column: usize) -> Self {
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        Self { data: &self.data[row * self.stride + column..], ..self }
    }
}

/// c = a b (+ bias) (+ c) on the host, where c has many blocks: each is made by one thread, in its place.
fn in_blocks(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    bias: Option<&[f32]>,
    (c, stride): (&mut [f32], usize),
    accumulate: bool,
) {
    /// Where c begins.
    #[derive(Clone, Copy)]
    struct Begin(*mut f32);
    // SAFETY: each thread reads and writes blocks of c that no other does.
    unsafe impl Send for Begin {}
    // SAFETY: as above.
    unsafe impl Sync for Begin {}

    assert!(m > 0 && n > 0 && n <= stride && (m - 1) * stride + n <= c.len());
    let begin = Begin(c.as_mut_ptr());
    let [rows, columns] = BLOCK;
    let blocks = (0..n).step_by(columns).flat_map(|j| (0..m).step_by(rows).map(move |i| (i, j)));
    let threads = if m * n * k < SMALL { 1 } else { threads::count() };
    threads::each(blocks, threads, |(i, j)| {
        let (m, n) = (rows.min(m - i), columns.min(n - j));
        // The whole, as the closure would else take but the pointer.
        let Begin(c) = { begin };
        // SAFETY: the block's rows and columns lie inside of c, as the assertion shows, which is borrowed
        // mutably until all threads are done; the blocks do not overlap.
        unsafe {
            let c = c.add(i * stride + j);
            if let Some(bias) = bias {
                for row in 0..m {
                    let row = std::slice::from_raw_parts_mut(c.add(row * stride), n);
                    let bias = &bias[j..j + n];
                    match accumulate {
                        true => row.iter_mut().zip(bias).for_each(|(c, x)| *c += x),
                        false => row.copy_from_slice(bias),
                    }
                }
            }
            let (a, b, adds) = (a.skip(i, 0), b.skip(0, j), accumulate || bias.is_some());
            product_at([m, n, k], a, b, (c, stride), adds, Parallelism::None);
        }
    });
}

/// sums = a b (+ bias), at once.
fn in_one([m, n, k]: [usize; 3], a: View<'_>, b: View<'_>, bias: Option<&[f32]>, sums: &mut [f32]) {
    if let Some(bias) = bias {
        sums.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(bias));
    }
    let mut make = |parallelism| {
        product([m, n, k], a, b, (sums, n), bias.is_some(), parallelism);
    };
    match m * n * k {
        0..SMALL => make(Parallelism::None),
        _ => threads::inside(|together| {
            let parallelism = [Parallelism::None, Parallelism::Rayon(0)];
            make(parallelism[usize::from(together)]);
        }),
    }
}

/// c = a b (+ bias), whose rows may lie apart, by all threads where there is much to do; a bias alone for no terms.
/// Nobody else may use c meanwhile. A row has the same bits whichever rows are beside it.
pub(crate) fn into_rows(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    bias: Option<&[f32]>,
    (c, stride): (&mut [f32], usize),
) {
    if k == 0 || bias.is_some() {
        for row in c.chunks_mut(stride).take(m) {
            match bias {
                Some(bias) => row[..n].copy_from_slice(&bias[..n]),
                None => row[..n].fill(0.0),
            }
        }
    }
    if k == 0 {
        return;
    }
    let mut make =
        |parallelism| product([m, n, k], a, b, (&mut *c, stride), bias.is_some(), parallelism);
    match m * n * k {
        0..SMALL => make(Parallelism::None),
        _ => threads::inside(|together| {
            let parallelism = [Parallelism::None, Parallelism::Rayon(0)];
            make(parallelism[usize::from(together)]);
        }),
    }
}

/// sums = a b (+ bias), where the terms are many: a thread makes the sums of a slice of them. Room for the sums of
/// the other slices lies behind `sums`.
fn in_slices(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    bias: Option<&[f32]>,
    sums: &mut [f32],
) {
    let terms = k.div_ceil(sums.len() / (m * n));
    threads::each_chunk(sums, m * n, |slice, sums| {
        let first = slice * terms;
        let sizes = [m, n, terms.min(k - first)];
        product(sizes, a.skip(0, first), b.skip(first, 0), (sums, n), false, Parallelism::None);
    });
    let (sums, others) = sums.split_at_mut(m * n);
    let biases = bias.into_iter().flat_map(|bias| std::iter::repeat_n(bias, m));
    let add = |to: &mut [f32], from: &[f32]| to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
    others.chunks_exact(m * n).for_each(|slice| add(sums, slice));
    sums.chunks_exact_mut(n).zip(biases).for_each(|(row, bias)| add(row, bias));
}

/// c = a b on the host, by the thread that calls; `[m, n, k]`, none of them 0.
pub(crate) fn alone(sizes: [usize; 3], a: View<'_>, b: View<'_>, c: (&mut [f32], usize)) {
    product(sizes, a, b, c, false, Parallelism::None);
}

/// c = a b (+ c) on the host; `[m, n, k]`, none of them 0.
fn product(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    (c, stride): (&mut [f32], usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert!(m > 0 && n > 0 && (m - 1) * stride + n <= c.len() && n <= stride);
    // SAFETY: the assertion shows that all rows lie inside of c, which is borrowed mutably, so that it overlaps
    // neither `a` nor `b`, and that they do not overlap.
    unsafe { product_at([m, n, k], a, b, (c.as_mut_ptr(), stride), accumulate, parallelism) }
}

/// As [`product`]. Where neither matrix is transposed, a row of `c` has the same bits whichever rows are beside it,
/// so that a stream gives what its sequence gives: `gemm` adds in other orders where there is one row or one
/// column, and, of more than [`TERMS`] terms, where the product is small.
///
/// # Safety
/// `m` rows of `n` numbers from `c` on, `stride` apart, can be written to, overlap neither `a` nor `b` nor each
/// other, and nobody else reads or writes them meanwhile.
unsafe fn product_at(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    (c, stride): (*mut f32, usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert!(m > 0 && n > 0 && k > 0 && a.holds(m, k) && b.holds(k, n));
    let plain = !a.transposed && !b.transposed;
    let (terms, rows) = (k.div_ceil(k.div_ceil(TERMS)), if plain && n == 1 { ALIKE } else { m });
    for first in (0..k).step_by(terms) {
        let (count, adds) = (terms.min(k - first), accumulate || first > 0);
        for row in (0..m).step_by(rows) {
            let sizes = [rows.min(m - row), n, count];
            let (a, b) = (a.skip(row, first), b.skip(first, 0));
            // SAFETY: these rows of C are some of those that the caller speaks of; what is left of the others holds
            // as many rows and columns as the assertion found, but for those that were left out.
            unsafe {
                let c = c.add(row * stride);
                // Of one or two terms it adds to c at once, however many rows there are.
                if plain && m == 1 && n > 1 && count > 2 && adds {
                    add_row([n, count], a, b, c, parallelism);
                } else {
                    part_at(sizes, a, b, (c, stride), adds, parallelism);
                }
            }
        }
    }
}

/// c += a b of one row, whose terms are added up before they are added to c, as those of several rows are.
///
/// # Safety
/// `n` numbers from `c` on can be written to, overlap neither `a` nor `b`, and nobody else reads or writes them
/// meanwhile.
unsafe fn add_row(
    [n, k]: [usize; 2],
    a: View<'_>,
    b: View<'_>,
    c: *mut f32,
    parallelism: Parallelism,
) {
    let mut sums = vec![0.0; n];
    // SAFETY: the caller says so of c; the sums are `n` numbers of this function alone.
    let c = unsafe {
        part_at([1, n, k], a, b, (sums.as_mut_ptr(), n), false, parallelism);
        std::slice::from_raw_parts_mut(c, n)
    };
    c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
}

/// Some rows and terms of [`product_at`], in one call of `gemm`.
///
/// # Safety
/// As for [`product_at`]; `a` holds `m` rows of `k` columns, `b` `k` of `n`.
unsafe fn part_at(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    (c, stride): (*mut f32, usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    let c_row = stride as isize;
    // It wants the numbers of a column of c side by side. Where those of a row are, it makes the
    // transpose: c^T = b^T a^T.
    let ([m, n], [c_column, c_row], left, left_strides, right, right_strides) = if c_row > 1 {
        ([n, m], [c_row, 1], b, [b_row, b_column], a, [a_row, a_column])
    } else {
        ([m, n], [1, c_row], a, [a_column, a_row], b, [b_column, b_row])
    };
    // SAFETY: the caller says that `a` and `b` lie inside their slices, and the same of `c`. A transpose has the
    // same numbers in the same places.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            m,
            n,
            k,
            c,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of a product, with and without a bias, has the same bits in every batch.
    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        let values = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 7919 + seed) as f32 * 0.61).sin()).collect()
        };
        for k in [1, 2, 3, 33, 512, 513, 1100] {
            for n in [1, 2, 15, 65, 130] {
                let (a, b, bias) = (values(300 * k, 1), values(k * n, 2), values(n, 3));
                let b = View::of(&b, n, false);
                for bias in [None, Some(&bias[..])] {
                    let made = |first: usize, m: usize| {
                        let mut c = vec![0.0; m * n];
                        in_one([m, n, k], View::of(&a[first * k..], k, false), b, bias, &mut c);
                        c
                    };
                    let all = made(0, 300);
                    for (first, m) in [(0, 1), (299, 1), (7, 2), (5, 17), (3, 64), (20, 257)] {
                        let (found, here) = (made(first, m), &all[first * n..][..m * n]);
                        let what = format!("{m} rows of [{n}] with {k} terms, {}", bias.is_some());
                        assert_eq!(found, here, "{what}");
                    }
                    let mut c = vec![0.0; 300 * n];
                    in_blocks([300, n, k], View::of(&a, k, false), b, bias, (&mut c, n), false);
                    assert_eq!(c, all, "in blocks, [{n}] with {k} terms, {}", bias.is_some());
                }
            }
        }
    }

    #[test]
    fn no_slice_is_empty() {
        for terms in [LONG, LONG + 1, 30_001, 100_003, 10_000_000, 123_456_789] {
            let slices = slices(terms);
            let each = terms.div_ceil(slices);
            assert!((slices - 1) * each < terms, "{slices} of {terms}");
            assert!(each <= SLICE, "{slices} of {terms}");
        }
    }
}
