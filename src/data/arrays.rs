//! Arrays of the crate ndarray.

use super::{Number, Sequences, Targets};
use crate::{Error, Result};
use ndarray::{ArrayBase, ArrayRef, Data, Dimension, Ix2, Ix3};

/// Sequences of the same length, from an array `[N,T,F]` or a view of one, whatever its order in memory. Errors
/// are those of [`Sequences::from_array`].
///
/// ```
/// use ndarray::Array3;
/// use wgpu_lstm::data::Sequences;
/// let x = Sequences::try_from(&Array3::<f64>::zeros((8, 5, 2)))?;
/// assert_eq!((x.len(), x.frames(0), x.features()), (8, 5, 2));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
impl<S: Data<Elem: Number>> TryFrom<&ArrayBase<S, Ix3>> for Sequences {
    type Error = Error;

    fn try_from(array: &ArrayBase<S, Ix3>) -> Result<Self> {
        let (n, timesteps, features) = array.dim();
        Self::from_array(&in_order(array), [n, timesteps, features])
    }
}

/// One sequence, such as a series, from an array `[T,F]` or a view of one. Errors are those of
/// [`Sequences::from_array`].
///
/// ```
/// use ndarray::array;
/// use wgpu_lstm::data::Sequences;
/// let columns = array![[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]];
/// let series = Sequences::try_from(&columns.t())?;
/// assert_eq!((series.len(), series.frame(0, 1)), (1, &[2.0, 20.0][..]));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
impl<S: Data<Elem: Number>> TryFrom<&ArrayBase<S, Ix2>> for Sequences {
    type Error = Error;

    fn try_from(array: &ArrayBase<S, Ix2>) -> Result<Self> {
        let (timesteps, features) = array.dim();
        Self::from_array(&in_order(array), [1, timesteps, features])
    }
}

/// Numbers, from an array `[N,width]` or a view of one. [`Targets::classes`] and [`Targets::values`] take arrays
/// of one axis as they are.
///
/// ```
/// use ndarray::{Array2, array};
/// use wgpu_lstm::data::Targets;
/// let y = Targets::from(&Array2::<f32>::ones((6, 2)));
/// assert_eq!((y.len(), y.width()), (6, 2));
/// let classes = Targets::classes(&array![2, 0, 1]);
/// assert_eq!(classes.as_classes(), Some(&[2, 0, 1][..]));
/// ```
impl<S: Data<Elem: Number>> From<&ArrayBase<S, Ix2>> for Targets {
    fn from(array: &ArrayBase<S, Ix2>) -> Self {
        Self::values(array.iter(), array.ncols())
    }
}

/// The elements of an array, the last axis first.
fn in_order<T: Copy, D: Dimension>(array: &ArrayRef<T, D>) -> Vec<T> {
    array.iter().copied().collect()
}
