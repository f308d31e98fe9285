//! Arrays of any type on the host: shapes, indices, and what else of a graph is known before it runs. They move by the
//! same walks as tensors.

use super::gather::{along, check_count, into_parts, places};
use super::strided::{SliceAxis, check_places, sliced, transposed};
use super::walk::{Walk, around, broadcast, broadcast_stride, check_axis, len};
use crate::tensor::{count, room_for};
use crate::{Error, Result};

/// A dense, row-major array. An axis may be empty; without axes it is one value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<T>,
}

/// Room for the values of a shape.
fn room<T>(shape: &[usize]) -> Result<Vec<T>> {
    room_for("an array on the host", count(shape))
}

impl<T: Copy> Array<T> {
    /// # Errors
    /// [`Error::Count`].
    pub(crate) fn new(shape: Vec<usize>, data: Vec<T>) -> Result<Self> {
        check_count("Array::new", data.len(), &shape)?;
        Ok(Self { shape, data })
    }

    /// What `f` makes of each.
    pub(crate) fn map<U>(&self, f: impl Fn(T) -> U) -> Array<U> {
        Array { shape: self.shape.clone(), data: self.data.iter().map(|&value| f(value)).collect() }
    }

    /// What `f` makes of each two, the shapes broadcast as numpy's.
    pub(crate) fn zip<U: Copy, V>(
        &self,
        other: &Array<U>,
        f: impl Fn(T, U) -> V,
    ) -> Result<Array<V>> {
        let shape = broadcast("Array::zip", &[&self.shape, &other.shape])?;
        let strides =
            |axis| [&self.shape, &other.shape].map(|of| broadcast_stride(of, &shape, axis));
        let mut data = room(&shape)?;
        Walk::new("Array::zip", &shape, strides, [0; 2])?
            .each(|[a, b]| data.push(f(self.data[a], other.data[b])));
        Ok(Array { shape, data })
    }

    /// `a` where `cond` is true, else `b`, the shapes broadcast as numpy's.
    pub(crate) fn select(cond: &Array<bool>, a: &Self, b: &Self) -> Result<Self> {
        let shape = broadcast("Array::select", &[&cond.shape, &a.shape, &b.shape])?;
        let strides =
            |axis| [&cond.shape, &a.shape, &b.shape].map(|of| broadcast_stride(of, &shape, axis));
        let mut data = room(&shape)?;
        Walk::new("Array::select", &shape, strides, [0; 3])?.each(|[cond_at, a_at, b_at]| {
            data.push(if cond.data[cond_at] { a.data[a_at] } else { b.data[b_at] });
        });
        Ok(Self { shape, data })
    }

    /// As [`strided`](super::strided::strided).
    pub(crate) fn strided(
        &self,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Self> {
        check_places("Array::strided", self.data.len(), shape, strides, offset)?;
        let mut data = room(shape)?;
        Walk::new("Array::strided", shape, |axis| [strides[axis]], [offset])?
            .each(|[at]| data.push(self.data[at]));
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// As [`transpose`](super::strided::transpose).
    pub(crate) fn transpose(&self, axes: &[usize]) -> Result<Self> {
        let (shape, strides) = transposed(&self.shape, axes)?;
        self.strided(&shape, &strides, 0)
    }

    /// As [`expand`](super::strided::expand).
    pub(crate) fn expand(&self, shape: &[usize]) -> Result<Self> {
        let whole = broadcast("Array::expand", &[&self.shape, shape])?;
        let strides = (0..whole.len()).map(|axis| broadcast_stride(&self.shape, &whole, axis));
        self.strided(&whole, &strides.collect::<Vec<_>>(), 0)
    }

    /// As [`slice`](super::strided::slice).
    pub(crate) fn slice(&self, parts: &[SliceAxis]) -> Result<Self> {
        let (shape, strides, offset) = sliced(&self.shape, parts)?;
        self.strided(&shape, &strides, offset)
    }

    /// As [`concat`](super::copy::concat).
    pub(crate) fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        let Some((&first, others)) = parts.split_first() else {
            let expected = "at least one array".into();
            return Err(Error::Option { option: "Array::concat", found: "none".into(), expected });
        };
        let mut shape = first.shape.clone();
        check_axis("Array::concat", &shape, axis)?;
        for part in others {
            let alike = |(at, (a, b)): (usize, (&usize, &usize))| at == axis || a == b;
            let pairs = first.shape.iter().zip(&part.shape).enumerate();
            if part.shape.len() != shape.len() || !pairs.into_iter().all(alike) {
                let help = "all axes but the one that is joined are alike";
                let (op, arg, axes) = ("Array::concat", "part", "of the first");
                let (expected, found) = (first.shape.clone(), part.shape.clone());
                return Err(Error::Shape { op, arg, axes, expected, found, help });
            }
            shape[axis] = shape[axis].saturating_add(part.shape[axis]);
        }
        let mut data = room(&shape)?;
        let rows = if count(&shape) == 0 { 0 } else { len(&shape[..axis]) };
        for row in 0..rows {
            for part in parts {
                let each = len(&part.shape[axis..]);
                data.extend_from_slice(&part.data[row * each..][..each]);
            }
        }
        Ok(Self { shape, data })
    }

    /// As [`gather`](super::gather::gather).
    pub(crate) fn gather(&self, axis: usize, indices: &[i64], shape: &[usize]) -> Result<Self> {
        check_axis("Array::gather", &self.shape, axis)?;
        check_count("Array::gather", indices.len(), shape)?;
        let whole = [&self.shape[..axis], shape, &self.shape[axis + 1..]].concat();
        let [outer, size, inner] = around(&self.shape, axis);
        let places = places("Array::gather", indices, size)?;
        let mut data = room(&whole)?;
        for row in 0..if count(&whole) == 0 { 0 } else { outer } {
            for place in &places {
                let at = (row * size + place) * inner;
                data.extend_from_slice(&self.data[at..at + inner]);
            }
        }
        Self::new(whole, data)
    }

    /// As [`gather_elements`](super::gather::gather_elements).
    pub(crate) fn gather_elements(
        &self,
        axis: usize,
        indices: &[i64],
        shape: &[usize],
    ) -> Result<Self> {
        let places = along("Array::gather_elements", &self.shape, axis, indices, shape)?;
        Self::new(shape.to_vec(), places.into_iter().map(|at| self.data[at]).collect())
    }

    /// As [`scatter_elements`](super::scatter::scatter_elements): `f` makes of what is there and what comes what stays.
    pub(crate) fn scatter_elements(
        &self,
        axis: usize,
        indices: &[i64],
        updates: &Self,
        f: impl Fn(T, T) -> T,
    ) -> Result<Self> {
        let op = "Array::scatter_elements";
        let places = along(op, &self.shape, axis, indices, &updates.shape)?;
        Ok(self.put(&places, 1, &updates.data, f))
    }

    /// As [`scatter_nd`](super::scatter::scatter_nd): `f` makes of what is there and what comes what stays.
    pub(crate) fn scatter_nd(
        &self,
        indices: &[i64],
        shape: &[usize],
        updates: &Self,
        f: impl Fn(T, T) -> T,
    ) -> Result<Self> {
        let (places, inner) = into_parts("Array::scatter_nd", &self.shape, 0, indices, shape)?;
        let depth = shape.last().copied().unwrap_or(0);
        let expected = [&shape[..shape.len() - 1], &self.shape[depth..]].concat();
        if updates.shape != expected {
            let (op, arg, axes) = ("Array::scatter_nd", "updates", "of the indices");
            let (found, help) =
                (updates.shape.clone(), "the indices but their last axis, and what these lead to");
            return Err(Error::Shape { op, arg, axes, expected, found, help });
        }
        Ok(self.put(&places, inner, &updates.data, f))
    }

    /// Puts parts of `inner` values to these places, counted in parts.
    fn put(&self, places: &[usize], inner: usize, updates: &[T], f: impl Fn(T, T) -> T) -> Self {
        let mut data = self.data.clone();
        if !updates.is_empty() {
            for (&place, part) in places.iter().zip(updates.chunks_exact(inner)) {
                for (value, &update) in data[place * inner..].iter_mut().zip(part) {
                    *value = f(*value, update);
                }
            }
        }
        Self { shape: self.shape.clone(), data }
    }

    /// What `f` makes of all values along these axes, of each of which one place is left if `keep`.
    ///
    /// # Errors
    /// [`Error::Option`] for an axis that is not there.
    pub(crate) fn reduce<U>(
        &self,
        axes: &[usize],
        keep: bool,
        f: impl Fn(&[T]) -> U,
    ) -> Result<Array<U>> {
        axes.iter().try_for_each(|&axis| check_axis("Array::reduce", &self.shape, axis))?;
        let (behind, before): (Vec<_>, Vec<_>) =
            (0..self.shape.len()).partition(|axis| axes.contains(axis));
        let turned = self.transpose(&[&before[..], &behind].concat())?;
        let terms = len(&behind.iter().map(|&axis| self.shape[axis]).collect::<Vec<_>>());
        let shape: Vec<_> = (0..self.shape.len())
            .filter_map(|axis| match axes.contains(&axis) {
                true => keep.then_some(1),
                false => Some(self.shape[axis]),
            })
            .collect();
        let mut data = room(&shape)?;
        data.extend((0..len(&shape)).map(|row| f(&turned.data[row * terms..][..terms])));
        Ok(Array { shape, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize]) -> Array<i64> {
        Array::new(shape.to_vec(), (0..len(shape) as i64).collect()).unwrap()
    }

    fn array(shape: &[usize], data: &[i64]) -> Array<i64> {
        Array::new(shape.to_vec(), data.to_vec()).unwrap()
    }

    #[test]
    fn arrays_move_as_those_of_numpy() {
        let x = numbers(&[2, 3]);
        assert_eq!(x.transpose(&[1, 0]).unwrap(), array(&[3, 2], &[0, 3, 1, 4, 2, 5]));
        assert_eq!(array(&[2, 1], &[7, 8]).expand(&[1, 2]).unwrap().data, [7, 7, 8, 8]);
        let back = SliceAxis { axis: 1, first: 2, step: -2, count: 2 };
        assert_eq!(x.slice(&[back]).unwrap(), array(&[2, 2], &[2, 0, 5, 3]));
        let joined = Array::concat(&[&x, &array(&[2, 1], &[8, 9])], 1).unwrap();
        assert_eq!(joined, array(&[2, 4], &[0, 1, 2, 8, 3, 4, 5, 9]));
        assert_eq!(x.gather(1, &[-1, 0], &[2, 1]).unwrap(), array(&[2, 2, 1], &[2, 0, 5, 3]));
        assert_eq!(x.gather_elements(0, &[1, 0, -1], &[1, 3]).unwrap().data, [3, 1, 5]);
        let put = x.scatter_elements(1, &[2, -1], &array(&[1, 2], &[7, 8]), |_, new| new);
        assert_eq!(put.unwrap().data, [0, 1, 8, 3, 4, 5]);
        let put =
            x.scatter_nd(&[1, 1], &[2, 1], &array(&[2, 3], &[1, 2, 3, 4, 5, 6]), |a, b| a + b);
        assert_eq!(put.unwrap().data, [0, 1, 2, 8, 11, 14]);
        let sums = |axes: &[usize], keep| x.reduce(axes, keep, |v| v.iter().sum::<i64>()).unwrap();
        assert_eq!(sums(&[1], false), array(&[2], &[3, 12]));
        assert_eq!(sums(&[0], true), array(&[1, 3], &[3, 5, 7]));
        assert_eq!(sums(&[0, 1], false), array(&[], &[15]));
        let products = x.zip(&array(&[2, 1], &[10, 100]), |a, b| a * b).unwrap();
        assert_eq!(products.data, [0, 10, 20, 300, 400, 500]);
        let is = x.map(|x| x % 2 == 0);
        let chosen = Array::select(&is, &array(&[], &[-1]), &x).unwrap();
        assert_eq!(chosen.data, [-1, 1, -1, 3, -1, 5]);
    }

    #[test]
    fn empty_arrays_stay_empty_and_nothing_leads_out_of_one() {
        let none = numbers(&[2, 0]);
        assert_eq!(none.transpose(&[1, 0]).unwrap().shape, [0, 2]);
        assert_eq!(none.reduce(&[1], false, |v| v.len()).unwrap().data, [0, 0]);
        assert_eq!(Array::concat(&[&none, &numbers(&[2, 1])], 1).unwrap().data, [0, 1]);
        let x = numbers(&[2, 3]);
        assert!(x.gather(1, &[3], &[1]).is_err() && x.gather(2, &[0], &[1]).is_err());
        assert!(x.strided(&[2, 3], &[3, 2], 0).is_err() && x.strided(&[2], &[-1], 0).is_err());
        assert!(x.transpose(&[0, 0]).is_err() && x.transpose(&[0]).is_err());
        assert!(x.zip(&numbers(&[2]), |a, _| a).is_err() && x.expand(&[usize::MAX, 2, 3]).is_err());
        assert!(Array::concat(&[&x, &numbers(&[3, 2])], 0).is_err());
        assert!(x.slice(&[SliceAxis { axis: 1, first: 1, step: isize::MAX, count: 3 }]).is_err());
        assert!(Array::new(vec![usize::MAX, 2], vec![0i64]).is_err());
    }
}
