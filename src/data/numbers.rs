//! The types of numbers that people have.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

mod sealed {
    /// Keeps the traits of this file to the types that are listed there.
    pub trait Sealed {}
}

use sealed::Sealed;

/// A number of any type of the language: `f32`, `f64`, an integer, or a `bool` (1 and 0).
///
/// It becomes the nearest 32-bit float. What that cannot hold, such as 1e300, is refused where it is used.
///
/// ```
/// use wgpu_lstm::data::{Number, Sequences};
/// fn series<T: Number>(values: &[T]) -> wgpu_lstm::Result<Sequences> {
///     Sequences::new(1, [values])
/// }
/// assert_eq!(series(&[1.0_f64, 2.0])?, series(&[1_u8, 2])?);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub trait Number: Copy + Sealed {
    #[doc(hidden)]
    fn to_f32(self) -> f32;
    #[doc(hidden)]
    fn to_f64(self) -> f64;
}

/// A whole number of any type: a class or a token. `bool` is 1 and 0.
///
/// ```
/// use wgpu_lstm::data::Targets;
/// assert_eq!(Targets::classes([false, true]), Targets::classes([0_usize, 1]));
/// ```
pub trait Integer: Number {
    #[doc(hidden)]
    fn to_u32(self) -> Option<u32>;
}

/// What a sequence is made of: a [`Number`], or a frame of numbers (an array, a vector, a box or a slice of
/// them). See [`Row`].
pub trait Element: Sized + Sealed {
    /// Appends the numbers. An error is a frame, and how many numbers it has instead of `features`.
    #[doc(hidden)]
    fn put(elements: &[Self], features: usize, to: &mut Vec<f32>) -> Result<(), (usize, usize)>;

    /// The number in this place among those that `put` appends.
    #[doc(hidden)]
    fn number(elements: &[Self], features: usize, at: usize) -> Option<f64>;
}

/// A sequence or a column: an array, a vector or a slice of numbers, or of frames of numbers.
///
/// ```
/// use wgpu_lstm::data::{Row, Sequences};
/// fn one(row: impl Row) -> wgpu_lstm::Result<Sequences> {
///     Sequences::new(2, [row])
/// }
/// let x = one(vec![1_f32, 2.0, 3.0, 4.0])?;
/// assert_eq!(one([1, 2, 3, 4])?, x);
/// assert_eq!(one(vec![[1.0, 2.0], [3.0, 4.0]])?, x);
/// assert_eq!(one(&[vec![1, 2], vec![3, 4]][..])?, x);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub trait Row {
    #[doc(hidden)]
    type Element: Element;
    #[doc(hidden)]
    fn elements(&self) -> &[Self::Element];
}

macro_rules! number {
    ($($type:ty: $to_f32:expr, $to_f64:expr;)*) => {$(
        impl Sealed for $type {}

        impl Number for $type {
            fn to_f32(self) -> f32 {
                $to_f32(self)
            }
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }
        }
    )*};
}

macro_rules! integer {
    ($($type:ty)*) => {
        number! { $($type: |n| n as f32, |n| n as f64;)* }
        $(impl Integer for $type {
            fn to_u32(self) -> Option<u32> {
                u32::try_from(self).ok()
            }
        })*
    };
}

number! {
    f32: |n| n, f64::from;
    f64: |n| n as f32, |n| n;
    bool: |n| f32::from(u8::from(n)), |n| f64::from(u8::from(n));
}
integer! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

impl Integer for bool {
    fn to_u32(self) -> Option<u32> {
        Some(self.into())
    }
}

impl<T: Number> Sealed for &T {}

impl<T: Number> Number for &T {
    fn to_f32(self) -> f32 {
        (*self).to_f32()
    }
    fn to_f64(self) -> f64 {
        (*self).to_f64()
    }
}

impl<T: Number> Element for T {
    fn put(elements: &[Self], _: usize, to: &mut Vec<f32>) -> Result<(), (usize, usize)> {
        to.extend(elements.iter().map(|number| number.to_f32()));
        Ok(())
    }
    fn number(elements: &[Self], _: usize, at: usize) -> Option<f64> {
        elements.get(at).map(|number| number.to_f64())
    }
}

impl<T: Integer> Integer for &T {
    fn to_u32(self) -> Option<u32> {
        (*self).to_u32()
    }
}

macro_rules! frame {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<T: Number, $($generics)*> Sealed for $type {}

        impl<T: Number, $($generics)*> Element for $type {
            fn put(
                frames: &[Self],
                features: usize,
                to: &mut Vec<f32>,
            ) -> Result<(), (usize, usize)> {
                for (at, frame) in frames.iter().enumerate() {
                    if frame.len() != features {
                        return Err((at, frame.len()));
                    }
                    to.extend(frame.iter().map(|number| number.to_f32()));
                }
                Ok(())
            }
            fn number(frames: &[Self], features: usize, at: usize) -> Option<f64> {
                let frame = frames.get(at.checked_div(features)?)?;
                frame.get(at % features).map(|number| number.to_f64())
            }
        }
    )*};
}

frame! {
    [const N: usize] [T; N];
    [] Vec<T>;
    [] Box<[T]>;
    [] &[T];
}

macro_rules! row {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<$($generics)*> Row for $type {
            type Element = E;
            fn elements(&self) -> &[E] {
                self
            }
        }
    )*};
}

row! {
    [E: Element] [E];
    [E: Element, const N: usize] [E; N];
    [E: Element] Vec<E>;
    [E: Element] Box<[E]>;
    [E: Element] Rc<[E]>;
    [E: Element] Arc<[E]>;
    [E: Element + Clone] Cow<'_, [E]>;
}

impl<R: Row + ?Sized> Row for &R {
    type Element = R::Element;
    fn elements(&self) -> &[R::Element] {
        (**self).elements()
    }
}

impl<R: Row + ?Sized> Row for &mut R {
    type Element = R::Element;
    fn elements(&self) -> &[R::Element] {
        (**self).elements()
    }
}
