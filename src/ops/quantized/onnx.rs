//! The arithmetic of ONNX's operators on 8-bit integers, on host memory.
//!
//! Sources: the operators' specifications in opset 21 (QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear,
//! MatMulInteger, QLinearMatMul).

use super::lines::{Lines, Places};
use super::product::{centred, product};
use super::rows::{Affine, Rows, range};
use crate::tensor::room_for;
use crate::{Error, Result};

/// Numbers of 8 bits: as they lie in memory, and whether they are signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) signed: bool,
}

impl Bytes<'_> {
    /// The numbers.
    pub(crate) fn integers(self) -> impl Iterator<Item = i32> {
        self.bytes.iter().map(move |&byte| match self.signed {
            true => i32::from(byte as i8),
            false => i32::from(byte),
        })
    }
}

/// DynamicQuantizeLinear: the bytes (unsigned), their scale and their zero point.
pub(crate) fn dynamic_quantize_linear(x: &[f32]) -> Result<(Vec<u8>, f32, u8)> {
    let affine = Affine::of(range(x));
    let mut rows = Rows::zeros(1, x.len())?;
    rows.set_by(0, x, affine);
    let mut bytes: Vec<u8> = bytemuck::cast_slice(rows.row(0)).to_vec();
    bytes.truncate(x.len());
    Ok((bytes, affine.scale, affine.zero))
}

/// The place along the axis of each number of a shape, if there are several scales.
fn along(shape: &[usize], axis: usize, scales: usize) -> Result<(usize, usize)> {
    if scales == 1 {
        return Ok((usize::MAX, 1));
    }
    match shape.get(axis) {
        Some(&size) if size == scales => Ok((shape[axis + 1..].iter().product(), size)),
        _ => Err(Error::Count {
            op: "a scale along an axis",
            shape: shape.to_vec(),
            expected: shape.get(axis).copied().unwrap_or(1),
            found: scales,
        }),
    }
}

fn check_zero(scales: usize, zeros: usize) -> Result<()> {
    if zeros == scales || zeros == 0 {
        return Ok(());
    }
    let (op, shape) = ("a zero point", vec![scales]);
    Err(Error::Count { op, shape, expected: scales, found: zeros })
}

/// QuantizeLinear: y = saturate(round(x / scale) + zero), by one scale or by one along `axis`. No zero points are
/// those of 0.
///
/// # Errors
/// [`Error::Count`] for more or fewer scales or zero points.
pub(crate) fn quantize_linear(
    x: &[f32],
    (shape, axis): (&[usize], usize),
    scale: &[f32],
    zero: &[i32],
    signed: bool,
) -> Result<Vec<u8>> {
    let (stride, size) = along(shape, axis, scale.len())?;
    check_zero(scale.len(), zero.len())?;
    let (low, high) = if signed { (-128, 127) } else { (0, 255) };
    let mut bytes = room_for("numbers of 8 bits", x.len())?;
    bytes.extend(x.iter().enumerate().map(|(i, x)| {
        let at = i / stride % size;
        let rounded = (x / scale[at]).round_ties_even().clamp(-1e6, 1e6) as i32;
        (rounded + zero.get(at).copied().unwrap_or(0)).clamp(low, high) as u8
    }));
    Ok(bytes)
}

/// DequantizeLinear: y = (x - zero) scale, by one scale or by one along `axis`.
///
/// # Errors
/// As [`quantize_linear`].
pub(crate) fn dequantize_linear(
    x: impl ExactSizeIterator<Item = i32>,
    (shape, axis): (&[usize], usize),
    scale: &[f32],
    zero: &[i32],
) -> Result<Vec<f32>> {
    let (stride, size) = along(shape, axis, scale.len())?;
    check_zero(scale.len(), zero.len())?;
    let mut floats = room_for("numbers", x.len())?;
    floats.extend(x.enumerate().map(|(i, x)| {
        let at = i / stride % size;
        x.wrapping_sub(zero.get(at).copied().unwrap_or(0)) as f32 * scale[at]
    }));
    Ok(floats)
}

/// The right side of MatMulInteger, `[K,N]`: packed once, for many products.
#[derive(Debug, Clone)]
pub(crate) struct IntegerMatrix {
    lines: Lines,
    columns: usize,
    /// The zero points of all columns; none if these are 0.
    zero: Option<Vec<i32>>,
}

impl IntegerMatrix {
    /// A matrix `[K,N]`, with a zero point of all, or one of each column, or none, which is that of 0.
    ///
    /// # Errors
    /// [`Error::Count`] for more or fewer numbers or zero points; [`Error::OutOfMemory`].
    pub(crate) fn new(b: Bytes<'_>, [terms, columns]: [usize; 2], zero: &[i32]) -> Result<Self> {
        const OP: &str = "MatMulInteger";
        if b.bytes.len() != terms * columns {
            let (expected, found) = (terms * columns, b.bytes.len());
            return Err(Error::Count { op: OP, shape: vec![terms, columns], expected, found });
        }
        if zero.len() > 1 && zero.len() != columns {
            let (expected, found) = (columns, zero.len());
            return Err(Error::Count { op: OP, shape: vec![columns], expected, found });
        }
        let outputs: Vec<_> = (0..columns).map(Some).collect();
        let places = Places { outputs: &outputs, terms, stride: columns };
        let lines = Lines::pack(b.bytes, places, !b.signed)?;
        // Unsigned numbers are packed less 128.
        let shift = if b.signed { 0 } else { 128 };
        let of = |n: usize| zero.get(n).or(zero.first()).copied().unwrap_or(0) - shift;
        let mut zeros: Vec<_> = (0..columns).map(of).collect();
        zeros.resize(lines.outputs(), 0);
        let zero = zeros.iter().any(|&zero| zero != 0).then_some(zeros);
        Ok(Self { lines, columns, zero })
    }

    /// MatMulInteger: Σ (a - z_a) (b - z_b) `[M,N]` of `a` `[M,K]`, with a zero point of all, or one of each row, or
    /// none, which is that of 0. Sums past 32 bits wrap.
    ///
    /// # Errors
    /// [`Error::Count`] for numbers that are no whole rows, and for more or fewer zero points;
    /// [`Error::OutOfMemory`].
    pub(crate) fn product(&self, a: Bytes<'_>, zero: &[i32]) -> Result<Vec<i32>> {
        const OP: &str = "MatMulInteger";
        let terms = self.lines.terms();
        let rows = a.bytes.len() / terms.max(1);
        if a.bytes.len() != rows * terms {
            let (expected, found) = (rows * terms, a.bytes.len());
            return Err(Error::Count { op: OP, shape: vec![rows, terms], expected, found });
        }
        if zero.len() > 1 && zero.len() != rows {
            let (expected, found) = (rows, zero.len());
            return Err(Error::Count { op: OP, shape: vec![rows], expected, found });
        }
        let mut bytes = Rows::of_bytes(a.bytes, terms, a.signed)?;
        // Signed numbers are packed with 128 more.
        let shift = if a.signed { 128 } else { 0 };
        for (row, to) in bytes.zero.iter_mut().enumerate() {
            *to = zero.get(row).or(zero.first()).copied().unwrap_or(0) + shift;
        }
        let which: Vec<_> = (0..rows).collect();
        let outputs = self.lines.outputs();
        let mut padded = room_for("sums of products", rows * outputs)?;
        padded.resize(rows * outputs, 0);
        product((&bytes, &which), &self.lines, &mut padded, |row, block, sums, to| {
            centred(&bytes, row, (&self.lines, self.zero.as_deref()), (block, sums), to);
        });
        let mut sums = room_for("sums of products", rows * self.columns)?;
        for row in padded.chunks_exact(outputs.max(1)) {
            sums.extend_from_slice(&row[..self.columns]);
        }
        Ok(sums)
    }
}

/// What QLinearMatMul makes of the sums `[..,N]` of [`IntegerMatrix::product`]: saturate(round(sum factor) + zero),
/// where the factor a_scale b_scale / y_scale is one of all or of each column.
///
/// # Errors
/// [`Error::Count`] for more or fewer factors; [`Error::OutOfMemory`].
pub(crate) fn requantize(
    sums: &[i32],
    columns: usize,
    factor: &[f32],
    zero: i32,
    signed: bool,
) -> Result<Vec<u8>> {
    let size = match factor.len() {
        1 => 1,
        found if found == columns => columns,
        found => {
            let (op, shape, expected) = ("QLinearMatMul", vec![columns], columns);
            return Err(Error::Count { op, shape, expected, found });
        }
    };
    let (low, high) = if signed { (-128, 127) } else { (0, 255) };
    let mut bytes = room_for("numbers of 8 bits", sums.len())?;
    bytes.extend(sums.iter().enumerate().map(|(i, &sum)| {
        let rounded = (sum as f32 * factor[i % size]).round_ties_even().clamp(-1e6, 1e6) as i32;
        (rounded + zero).clamp(low, high) as u8
    }));
    Ok(bytes)
}
