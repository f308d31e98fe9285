//! What scalers go over column by column.

use super::{Kind, Sequences, Targets};
use crate::{Error, Result};

/// Values in columns, which a [`super::Standardizer`] or [`super::MinMax`] goes over: [`Sequences`] by
/// feature, [`Targets`] of numbers, [`crate::train::Prediction`]s, and a `Vec<f32>`: one column to fit on, some
/// frames to scale.
///
/// ```
/// use wgpu_lstm::data::{Columns, MinMax};
/// fn between_0_and_1<C: Columns>(x: &C) -> wgpu_lstm::Result<C> {
///     MinMax::fit(x)?.transform(x)
/// }
/// assert_eq!(between_0_and_1(&vec![4.0, 2.0, 3.0])?, [1.0, 0.0, 0.5]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// Of a scaler of one column targets, predictions and vectors may have several values side by side: those of a
/// horizon of several steps ([`super::Windows`]), for example.
pub trait Columns: Sized + sealed::Sealed {
    /// The number of columns.
    #[doc(hidden)]
    fn width(&self) -> Result<usize>;

    /// The values, part by part, each some whole rows.
    #[doc(hidden)]
    fn parts(&self) -> impl Iterator<Item = &[f32]>;

    /// Each value replaced by that of a function of its column and itself.
    #[doc(hidden)]
    fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self>;

    /// How many values lie side by side.
    #[doc(hidden)]
    fn side_by_side(&self) -> Result<usize> {
        self.width()
    }

    /// Whether they must be as many as the scaler's columns, even of one.
    #[doc(hidden)]
    const ONCE: bool = false;
}

pub(crate) mod sealed {
    /// Keeps the trait to the types that it names.
    pub trait Sealed {}
}

impl sealed::Sealed for Sequences {}

impl Columns for Sequences {
    const ONCE: bool = true;

    fn width(&self) -> Result<usize> {
        Ok(self.features())
    }

    fn parts(&self) -> impl Iterator<Item = &[f32]> {
        self.iter()
    }

    fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self> {
        self.map(f)
    }
}

impl sealed::Sealed for Targets {}

impl Columns for Targets {
    fn width(&self) -> Result<usize> {
        match &self.kind {
            Kind::Values { width, .. } => Ok(*width),
            Kind::Classes(_) | Kind::Sequences(_) => Err(Error::Unsupported {
                what: "a scaler",
                with: "Targets::classes or Targets::sequences",
                help: "classes have no size; scale the inputs alone",
            }),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &[f32]> {
        self.as_values().into_iter()
    }

    fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self> {
        let width = Columns::width(self)?;
        let values = mapped(self.as_values().unwrap_or_default(), width, f);
        Ok(Self::values(values, width))
    }
}

impl sealed::Sealed for Vec<f32> {}

impl Columns for Vec<f32> {
    fn width(&self) -> Result<usize> {
        Ok(1)
    }

    fn side_by_side(&self) -> Result<usize> {
        Ok(self.len())
    }

    fn parts(&self) -> impl Iterator<Item = &[f32]> {
        std::iter::once(self.as_slice())
    }

    fn map(&self, f: impl Fn(usize, f32) -> f32) -> Result<Self> {
        Ok(mapped(self, self.len(), f))
    }
}

/// Rows of `width` values, each replaced by that of a function of its column and itself.
pub(crate) fn mapped(values: &[f32], width: usize, f: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    let one = |(at, &value)| f(at % width.max(1), value);
    values.iter().enumerate().map(one).collect()
}
