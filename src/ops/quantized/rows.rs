//! Rows of activations as unsigned bytes.

use crate::Result;
use crate::device::threads;
use crate::tensor::room_for;
use pulp::{Arch, Simd, WithSimd};

/// The numbers that a thread takes at a time.
const GRAIN: usize = 1 << 14;

/// Rows of bytes, four to a word, and what they stand for: x = scale (byte - zero).
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    words: Vec<u32>,
    /// The words of a row, the last of which zeros fill up.
    width: usize,
    terms: usize,
    pub(crate) scale: Vec<f32>,
    pub(crate) zero: Vec<i32>,
    /// The sums of the bytes.
    pub(crate) sums: Vec<i32>,
}

impl Rows {
    pub(crate) fn zeros(rows: usize, terms: usize) -> Result<Self> {
        let width = terms.div_ceil(4);
        let mut words = room_for("activations of 8 bits", rows * width)?;
        words.resize(rows * width, 0);
        let (scale, zero, sums) = (vec![1.0; rows], vec![0; rows], vec![0; rows]);
        Ok(Self { words, width, terms, scale, zero, sums })
    }

    /// As [`Self::zeros`], for few.
    pub(crate) fn zeros_of(rows: usize, terms: usize) -> Self {
        let width = terms.div_ceil(4);
        let (words, scale) = (vec![0; rows * width], vec![1.0; rows]);
        Self { words, width, terms, scale, zero: vec![0; rows], sums: vec![0; rows] }
    }

    /// Rows `[rows,terms]`, each quantised by its own range, on all threads if they are many.
    pub(crate) fn of_floats(x: &[f32], terms: usize) -> Result<Self> {
        let terms_or_one = terms.max(1);
        let mut all = Self::zeros(x.len() / terms_or_one, terms)?;
        let (group, width) = ((GRAIN / terms_or_one).max(1), all.width.max(1));
        let count = threads::count().min(all.len().div_ceil(group));
        let numbers = all.scale.chunks_mut(group).zip(all.zero.chunks_mut(group));
        let jobs = numbers.zip(all.sums.chunks_mut(group)).zip(all.words.chunks_mut(group * width));
        threads::each(jobs.zip(x.chunks(group * terms_or_one)), count, |((numbers, words), x)| {
            let ((scale, zero), sums) = numbers;
            let rows = x.chunks_exact(terms_or_one).zip(words.chunks_exact_mut(width));
            for (row, (x, words)) in rows.enumerate() {
                let (affine, to) = (Affine::of(range(x)), bytemuck::cast_slice_mut(words));
                sums[row] = Arch::new().dispatch(Quantize { x, affine, to });
                (scale[row], zero[row]) = (affine.scale, affine.zero.into());
            }
        });
        Ok(all)
    }

    /// Unsigned bytes, or with `flip` signed ones to which 128 is added.
    pub(crate) fn of_bytes(bytes: &[u8], terms: usize, flip: bool) -> Result<Self> {
        let mut rows = Self::zeros(bytes.len() / terms.max(1), terms)?;
        let mask = if flip { 0x80 } else { 0 };
        for (row, bytes) in bytes.chunks_exact(terms.max(1)).enumerate() {
            let to = &mut rows.bytes_mut(row)[..terms];
            to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte ^ mask);
            rows.sums[row] = to.iter().map(|&byte| i32::from(byte)).sum();
        }
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.scale.len()
    }

    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    pub(crate) fn row(&self, row: usize) -> &[u32] {
        &self.words[row * self.width..][..self.width]
    }

    fn bytes_mut(&mut self, row: usize) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words[row * self.width..][..self.width])
    }

    /// Quantises a row by its own range. One with a number that is not finite has NaN for a scale.
    pub(crate) fn set(&mut self, row: usize, x: &[f32]) {
        self.set_by(row, x, Affine::of(range(x)));
    }

    /// Quantises all rows by the range of all.
    pub(crate) fn set_all(&mut self, x: &[f32]) {
        let affine = Affine::of(range(x));
        for (row, x) in x.chunks_exact(self.terms.max(1)).enumerate() {
            self.set_by(row, x, affine);
        }
    }

    pub(crate) fn set_by(&mut self, row: usize, x: &[f32], affine: Affine) {
        let terms = self.terms;
        let to = &mut self.bytes_mut(row)[..terms];
        let sum = Arch::new().dispatch(Quantize { x, affine, to });
        (self.scale[row], self.zero[row]) = (affine.scale, affine.zero.into());
        self.sums[row] = sum;
    }
}

/// What bytes stand for: x = scale (byte - zero).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) zero: u8,
}

impl Affine {
    /// That of numbers in a range, which is widened to have 0: as ONNX's DynamicQuantizeLinear has it.
    pub(crate) fn of([low, high]: [f32; 2]) -> Self {
        // Not minima: a NaN stays.
        let low = if low > 0.0 { 0.0 } else { low };
        let high = if high < 0.0 { 0.0 } else { high };
        let mut scale = (high - low) / 255.0;
        if scale.is_infinite() && low.is_finite() && high.is_finite() {
            scale = high / 255.0 - low / 255.0;
        }
        if !scale.is_finite() {
            return Self { scale: f32::NAN, zero: 0 };
        }
        // Of numbers as small as that nothing is left.
        if scale < f32::MIN_POSITIVE {
            scale = 1.0;
        }
        let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
        Self { scale, zero: zero as u8 }
    }

    /// The byte of a number, as an integer.
    #[inline(always)]
    fn byte(self, x: f32) -> i32 {
        // Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even, and leaves it in the low bits; the ends
        // keep it exact. Neither `clamp` nor `as`, whose care for NaN no vector instruction has: of a NaN some byte is
        // made, and the scale is NaN.
        const MAGIC: f32 = 12_582_912.0;
        let x = x / self.scale;
        let x = if x > -512.0 { x } else { -512.0 };
        let x = if x < 512.0 { x } else { 512.0 };
        let whole = (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32;
        (whole + i32::from(self.zero)).clamp(0, 255)
    }
}

/// The least and the greatest number; NaN if one is.
pub(crate) fn range(x: &[f32]) -> [f32; 2] {
    Arch::new().dispatch(Range(x))
}

struct Range<'a>(&'a [f32]);

impl WithSimd for Range<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; 2] {
        const LANES: usize = 32;
        let (mut low, mut high, mut sum) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
        let Some(&first) = self.0.first() else { return [0.0; 2] };
        low.fill(first);
        high.fill(first);
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for x in chunks {
            for lane in 0..LANES {
                low[lane] = if x[lane] < low[lane] { x[lane] } else { low[lane] };
                high[lane] = if x[lane] > high[lane] { x[lane] } else { high[lane] };
                // 0, or NaN for what is not finite.
                sum[lane] += x[lane] * 0.0;
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            low[lane] = low[lane].min(x);
            high[lane] = high[lane].max(x);
            sum[lane] += x * 0.0;
        }
        if sum.iter().any(|sum| sum.is_nan()) {
            return [f32::NAN; 2];
        }
        [
            low.iter().copied().fold(f32::INFINITY, f32::min),
            high.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        ]
    }
}

struct Quantize<'a> {
    x: &'a [f32],
    affine: Affine,
    to: &'a mut [u8],
}

impl WithSimd for Quantize<'_> {
    type Output = i32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> i32 {
        const LANES: usize = 32;
        let Self { x, affine, to } = self;
        let to = &mut to[..x.len()];
        let (chunks, rest) = x.as_chunks::<LANES>();
        let (to_chunks, to_rest) = to.as_chunks_mut::<LANES>();
        let mut sums = [0i32; LANES];
        for (x, to) in chunks.iter().zip(to_chunks) {
            for lane in 0..LANES {
                let byte = affine.byte(x[lane]);
                sums[lane] = sums[lane].wrapping_add(byte);
                to[lane] = byte as u8;
            }
        }
        for ((x, to), sum) in rest.iter().zip(to_rest).zip(&mut sums) {
            let byte = affine.byte(*x);
            *sum = sum.wrapping_add(byte);
            *to = byte as u8;
        }
        sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_quantised_by_its_range() {
        for len in [1, 3, 4, 31, 32, 33, 64, 127, 1000] {
            let x: Vec<f32> = (0..len).map(|i| ((i * 7919) as f32 * 0.37).sin() - 0.3).collect();
            let mut rows = Rows::zeros(2, len).unwrap();
            rows.set(1, &x);
            let (scale, zero) = (f64::from(rows.scale[1]), rows.zero[1]);
            let bytes = bytemuck::cast_slice::<u32, u8>(rows.row(1));
            for (i, &x) in x.iter().enumerate() {
                let back = scale * f64::from(i32::from(bytes[i]) - zero);
                assert!((back - f64::from(x)).abs() <= 0.501 * scale, "{i} of {len}: {back}, {x}");
            }
            assert!(bytes[len..].iter().all(|&byte| byte == 0));
            assert_eq!(rows.sums[1], bytes.iter().map(|&b| i32::from(b)).sum::<i32>());
            assert_eq!(rows.row(0), vec![0; len.div_ceil(4)]);
        }
    }

    /// Ties go to even, the ends are whole, and what is not finite makes NaN of the scale.
    #[test]
    fn edges() {
        assert_eq!(Affine::of([-1.0, 254.0]), Affine { scale: 1.0, zero: 1 });
        let affine = Affine { scale: 2.0, zero: 3 };
        let bytes = [1.0f32, 3.0, 5.0, -1.0, -3.0, 1e30, -1e30].map(|x| affine.byte(x));
        assert_eq!(bytes, [3, 5, 5, 3, 1, 255, 0]);
        assert_eq!(Affine::of(range(&[0.0; 5])), Affine { scale: 1.0, zero: 0 });
        assert_eq!(Affine::of(range(&[])), Affine { scale: 1.0, zero: 0 });
        assert_eq!(Affine::of(range(&[1e-40, -1e-40])).scale, 1.0);
        assert!(Affine::of(range(&[f32::MAX, f32::MIN])).scale.is_finite());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for len in [1, 31, 32, 33, 64, 100] {
                for at in [0, len / 2, len - 1] {
                    let mut x = vec![0.5; len];
                    x[at] = bad;
                    assert!(Affine::of(range(&x)).scale.is_nan(), "{bad} at {at} of {len}");
                }
            }
        }
    }
}
