//! Checks of an op's arguments: no kernel gets a shape that it was not made for.

use crate::tensor::Tensor;
use crate::{DType, Device, Error, Result};

/// Checks that an option is a finite number above 0.
pub(crate) fn check_positive(option: &'static str, value: f32) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    let expected = "a finite number above 0".into();
    Err(Error::Option { option, found: value.to_string(), expected })
}

/// Checks that an option is a finite number of at least 0.
pub(crate) fn check_not_negative(
    option: &'static str,
    value: impl Into<f64> + Copy + ToString,
) -> Result<()> {
    let size = value.into();
    if size >= 0.0 && size.is_finite() {
        return Ok(());
    }
    let expected = "a finite number of at least 0".into();
    Err(Error::Option { option, found: value.to_string(), expected })
}

/// Checks that an option is a whole number of at least 1.
pub(crate) fn check_not_zero<N: Default + PartialEq>(
    option: &'static str,
    number: N,
) -> Result<()> {
    if number != N::default() {
        return Ok(());
    }
    Err(Error::Option { option, found: "0".into(), expected: "at least 1".into() })
}

/// Checks that an option is a share from 0 up to, but not, 1.
pub(crate) fn check_share(option: &'static str, share: f32) -> Result<()> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    let expected = "from 0 up to, but not, 1".into();
    Err(Error::Option { option, found: share.to_string(), expected })
}

/// The checks of one op, with what its errors say.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    op: &'static str,
    help: &'static str,
}

impl Check {
    /// Checks for `op`, whose errors end with `help`: where the expected sizes come from.
    pub(crate) fn new(op: &'static str, help: &'static str) -> Self {
        Self { op, help }
    }

    /// Checks that there are `N` axes, each of at least 1, and returns their sizes.
    pub(crate) fn dims<const N: usize>(
        self,
        arg: &'static str,
        tensor: &Tensor,
        axes: &'static str,
    ) -> Result<[usize; N]> {
        let found = tensor.shape();
        let dims = found.try_into().map_err(|_| Error::Rank {
            op: self.op,
            arg,
            axes,
            found: found.to_vec(),
        })?;
        if found.contains(&0) {
            return Err(Error::Empty { op: self.op, arg, axes, found: found.to_vec() });
        }
        Ok(dims)
    }

    pub(crate) fn shape(
        self,
        arg: &'static str,
        tensor: &Tensor,
        axes: &'static str,
        expected: &[usize],
    ) -> Result<()> {
        if tensor.shape() == expected {
            return Ok(());
        }
        Err(Error::Shape {
            op: self.op,
            arg,
            axes,
            expected: expected.to_vec(),
            found: tensor.shape().to_vec(),
            help: self.help,
        })
    }

    /// Checks that the last axis has `size` elements, and that no axis is empty.
    pub(crate) fn features(
        self,
        arg: &'static str,
        tensor: &Tensor,
        axes: &'static str,
        size: usize,
    ) -> Result<()> {
        let found = tensor.shape();
        let Some((_, rows)) = found.split_last() else {
            return Err(Error::Rank { op: self.op, arg, axes, found: vec![] });
        };
        if tensor.is_empty() {
            return Err(Error::Empty { op: self.op, arg, axes, found: found.to_vec() });
        }
        self.shape(arg, tensor, axes, &[rows, &[size]].concat())
    }

    /// Checks that the tensor is one float.
    pub(crate) fn number(self, arg: &'static str, tensor: &Tensor) -> Result<()> {
        self.dtype(arg, tensor, DType::F32)?;
        self.shape(arg, tensor, "one number", &[1])
    }

    pub(crate) fn dtype(self, arg: &'static str, tensor: &Tensor, expected: DType) -> Result<()> {
        if tensor.dtype() == expected {
            return Ok(());
        }
        Err(Error::DType { op: self.op, arg, expected, found: tensor.dtype() })
    }

    /// Checks that all tensors are on the device of the first.
    pub(crate) fn device(self, first: &Tensor, others: &[(&'static str, &Tensor)]) -> Result<()> {
        let device = first.device();
        others.iter().try_for_each(|(arg, tensor)| self.lies_on(&device, arg, tensor))
    }

    /// That a tensor lies on this device.
    pub(crate) fn lies_on(self, device: &Device, arg: &'static str, tensor: &Tensor) -> Result<()> {
        let found = tensor.device();
        if found.same(device) {
            return Ok(());
        }
        let (expected, mut found) = (device.to_string(), found.to_string());
        if found == expected {
            found += ", opened another time";
        }
        Err(Error::OtherDevice { op: self.op, arg, expected, found })
    }
}
