//! Walks over arrays by strides: what an op's output takes from where.

use crate::{Error, Result};

/// The most axes that are left once those that lie together are joined.
pub(crate) const MOST: usize = 8;

/// The words of a walk in a kernel's uniform: see `shaders/nd/parts/walk.wgsl`.
pub(crate) const WORDS: usize = 8 + 4 * MOST;

/// A walk over all places of a shape, row-major, and the places of `N` arrays that belong to each. Axes that lie
/// together in all arrays are one, and there is one at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<const N: usize> {
    axes: usize,
    sizes: [usize; MOST],
    strides: [[isize; N]; MOST],
    first: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// Over `shape`, whose axes have these strides in each array, from the place `first` of each on. Whoever makes
    /// a walk says that its places lie inside of the arrays.
    ///
    /// # Errors
    /// [`Error::Rank`].
    pub(crate) fn new(
        op: &'static str,
        shape: &[usize],
        strides: impl Fn(usize) -> [isize; N],
        first: [usize; N],
    ) -> Result<Self> {
        let mut walk = Self { axes: 0, sizes: [1; MOST], strides: [[1; N]; MOST], first };
        for (axis, &size) in shape.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let here = strides(axis);
            let joins = walk.axes > 0
                && (0..N)
                    .all(|n| walk.strides[walk.axes - 1][n] == here[n].wrapping_mul(size as isize));
            if !joins {
                if walk.axes == MOST {
                    let axes = "at most 8 axes that cannot be joined";
                    return Err(Error::Rank { op, arg: "shape", axes, found: shape.to_vec() });
                }
                walk.axes += 1;
            }
            let last = &mut walk.sizes[walk.axes - 1];
            *last = last.saturating_mul(size);
            walk.strides[walk.axes - 1] = here;
        }
        walk.axes = walk.axes.max(1);
        Ok(walk)
    }

    /// The places.
    pub(crate) fn len(&self) -> usize {
        len(&self.sizes[..self.axes])
    }

    /// The size of the last axis, along which a run goes.
    pub(crate) fn run(&self) -> usize {
        self.sizes[self.axes - 1]
    }

    /// The strides along a run.
    pub(crate) fn step(&self) -> [isize; N] {
        self.strides[self.axes - 1]
    }

    /// Whether there is a single run.
    pub(crate) fn is_one_run(&self) -> bool {
        self.axes == 1
    }

    /// Where the run with this number begins.
    pub(crate) fn start(&self, mut run: usize) -> [usize; N] {
        let mut at = self.first;
        for axis in (0..self.axes - 1).rev() {
            let (rest, place) = (run / self.sizes[axis], run % self.sizes[axis]);
            for (at, stride) in at.iter_mut().zip(self.strides[axis]) {
                *at = at.wrapping_add_signed(place as isize * stride);
            }
            run = rest;
        }
        at
    }

    /// Calls `f` for each place, in order.
    pub(crate) fn each(&self, mut f: impl FnMut([usize; N])) {
        let (run, step) = (self.run(), self.step());
        for number in 0..self.len().checked_div(run).unwrap_or(0) {
            let mut at = self.start(number);
            for _ in 0..run {
                f(at);
                for (at, step) in at.iter_mut().zip(step) {
                    *at = at.wrapping_add_signed(step);
                }
            }
        }
    }

    /// For a kernel, whose inputs are at most three; `own` is for itself.
    pub(crate) fn words(&self, own: [u32; 3]) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        words[..2].copy_from_slice(&[self.len() as u32, self.axes as u32]);
        for (word, first) in words[2..5].iter_mut().zip(self.first) {
            *word = first as u32;
        }
        words[5..8].copy_from_slice(&own);
        let axes = self.sizes.iter().zip(&self.strides);
        for (words, (&size, strides)) in words[8..].chunks_exact_mut(4).zip(axes) {
            words[0] = size as u32;
            for (word, &stride) in words[1..].iter_mut().zip(strides) {
                *word = stride as i32 as u32;
            }
        }
        words
    }
}

/// The numbers of a dense array. An empty axis makes it 0, however long others are.
pub(crate) fn len(shape: &[usize]) -> usize {
    shape.iter().fold(1, |len, &size| len.saturating_mul(size))
}

/// The stride of an axis of a dense array.
pub(crate) fn stride(shape: &[usize], axis: usize) -> isize {
    len(&shape[axis + 1..]) as isize
}

/// The stride that an axis of `whole` has in an array of `shape` that is broadcast to it.
pub(crate) fn broadcast_stride(shape: &[usize], whole: &[usize], axis: usize) -> isize {
    match (axis + shape.len()).checked_sub(whole.len()) {
        Some(own) if shape[own] != 1 => stride(shape, own),
        _ => 0,
    }
}

/// The shape that these have together, as numpy's rules say: axes are counted from the last, and an axis of one
/// place is as long as those of the others.
///
/// # Errors
/// [`Error::Shape`].
pub(crate) fn broadcast(op: &'static str, shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let axes = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut whole = vec![1; axes];
    for shape in shapes {
        let lead = axes - shape.len();
        for (whole, &size) in whole[lead..].iter_mut().zip(*shape) {
            if *whole == 1 {
                *whole = size;
            }
        }
    }
    for shape in shapes {
        let lead = axes - shape.len();
        if whole[lead..].iter().zip(*shape).any(|(&whole, &size)| size != 1 && size != whole) {
            return Err(Error::Shape {
                op,
                arg: "shape",
                axes: "broadcast with the others",
                expected: whole,
                found: shape.to_vec(),
                help: "axes are counted from the last; each is as long as those of the others, or 1",
            });
        }
    }
    Ok(whole)
}

/// Checks that there is this axis.
pub(crate) fn check_axis(op: &'static str, shape: &[usize], axis: usize) -> Result<()> {
    if axis < shape.len() {
        return Ok(());
    }
    let expected = format!("an axis of {shape:?}, the first of which is 0");
    Err(Error::Option { option: op, found: format!("the axis {axis}"), expected })
}

/// A shape as three axes: those before one, it, and those behind it.
pub(crate) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [len(&shape[..axis]), shape[axis], len(&shape[axis + 1..])]
}

/// The place that an index of an axis means; a negative one counts from the end.
///
/// # Errors
/// [`Error::Option`].
pub(crate) fn place(op: &'static str, index: i64, size: usize) -> Result<usize> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let place = if index < 0 { index.saturating_add(size) } else { index };
    if (0..size).contains(&place) {
        return Ok(place as usize);
    }
    let expected = match size {
        0 => "no index, as the axis is empty".to_owned(),
        _ => format!("from {} to {}, as the axis has {size} places", -size, size - 1),
    };
    Err(Error::Option { option: op, found: format!("given the index {index}"), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_lie_together_are_joined() {
        let walk = |shape: &[usize], strides: &[[isize; 2]]| {
            Walk::new("test", shape, |axis| strides[axis], [0, 3]).unwrap()
        };
        let dense = walk(&[2, 1, 3, 4], &[[12, 12], [7, 7], [4, 4], [1, 1]]);
        assert_eq!((dense.axes, dense.run(), dense.step(), dense.len()), (1, 24, [1, 1], 24));
        let row = walk(&[2, 3, 4], &[[12, 0], [4, 0], [1, 1]]);
        assert_eq!((row.axes, row.run(), row.start(5)), (2, 4, [20, 3]));
        let turned = walk(&[3, 2], &[[1, 2], [3, 1]]);
        let mut seen = Vec::new();
        turned.each(|at| seen.push(at));
        assert_eq!(seen, [[0, 3], [3, 4], [1, 5], [4, 6], [2, 7], [5, 8]]);
        let one = walk(&[1, 1], &[[5, 5], [5, 5]]);
        assert_eq!((one.axes, one.len(), one.run()), (1, 1, 1));
        let none = walk(&[2, 0, 3], &[[0, 3], [0, 3], [1, 1]]);
        assert_eq!(none.len(), 0);
        none.each(|_| panic!("there is no place"));
        assert!(Walk::new("test", &[2; 9], |axis| [axis as isize], [0]).is_err());
    }

    #[test]
    fn shapes_broadcast_as_those_of_numpy() {
        let of = |shapes: &[&[usize]]| broadcast("test", shapes).ok();
        assert_eq!(of(&[&[], &[]]), Some(vec![]));
        assert_eq!(of(&[&[3, 1], &[2]]), Some(vec![3, 2]));
        assert_eq!(of(&[&[1], &[0, 3], &[1, 1]]), Some(vec![0, 3]));
        assert_eq!(of(&[&[1], &[0]]), Some(vec![0]));
        assert_eq!(of(&[&[2], &[0]]), None);
        assert_eq!(of(&[&[2, 3], &[2]]), None);
        assert_eq!([0, 1, 2].map(|axis| broadcast_stride(&[3, 1], &[5, 3, 2], axis)), [0, 1, 0]);
    }

    #[test]
    fn negative_indices_count_from_the_end() {
        assert_eq!([-3, 0, 2].map(|i| place("test", i, 3).ok()), [Some(0), Some(0), Some(2)]);
        assert_eq!([-4, 3, i64::MIN, i64::MAX].map(|i| place("test", i, 3).ok()), [None; 4]);
        assert!(place("test", 0, 0).is_err());
    }
}
