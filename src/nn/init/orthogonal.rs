//! Random orthonormal rows.
//!
//! A normal matrix A = Q R, R with a positive diagonal, has a Q that is uniformly distributed; and Q is the
//! product H_0 H_1 … of the reflections of normal vectors, of which the k-th leaves the first k coordinates
//! alone, so that A itself is not needed (Householder 1958; Stewart 1980, SIAM J. Numer. Anal. 17:403; Mezzadri
//! 2007, Notices AMS 54:592). Reflections go by blocks, I - V T Vᵀ (compact WY: Schreiber & Van Loan 1989), whose
//! T⁻¹ has the upper triangle of Vᵀ V, and half of its diagonal (Puglisi 1992). Rounding leaves the rows
//! orthonormal to 2e-7, whatever was drawn.
//!
//! The bits are the same on every machine, with any number of threads: each sum has one order, no row depends
//! on another, and factors have the 24 bits of an f32, so that their products are exact in the f64 in which
//! they are added up, whether or not the processor multiplies and adds in one instruction.

use super::WHAT;
use super::normal::normals;
use crate::Result;
use crate::device::threads::{count, each};
use crate::tensor::room_for;
use pulp::{Arch, Simd, WithSimd};
use rand_chacha::ChaCha8Rng;

/// The most reflections of a block: a multiple of 3 vectors of any size, as is [`DEPTH`].
const BLOCK: usize = 96;
/// The rows whose sums are in registers at a time.
const ROWS: usize = 4;
/// The rows that a thread takes at a time.
const BAND: usize = 64;
/// The columns that all rows of a band take before the next: what they share of V stays in the cache.
const DEPTH: usize = 240;

/// `rows` orthonormal rows of `columns` values, of which there are at least as many.
pub(super) fn orthonormal(rng: &ChaCha8Rng, rows: usize, columns: usize) -> Result<Vec<f32>> {
    on_processor(Arch::new(), rng, rows, columns)
}

fn on_processor(arch: Arch, rng: &ChaCha8Rng, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let mut q: Vec<f32> = zeros(rows.saturating_mul(columns))?;
    let mut v: Vec<f32> = zeros(BLOCK.min(rows) * columns)?;
    let mut block = Block::new(arch, rows, columns)?;
    // From the last block to the first: before its own, a row is one of the identity's.
    for first in (0..rows).step_by(BLOCK).rev() {
        let (reflections, width) = (BLOCK.min(rows - first), columns - first);
        let v = &mut v[..reflections * width];
        let q = &mut q[first * columns..];
        let threads = block.threads;
        let pairs = v.chunks_exact_mut(width).zip(q.chunks_exact_mut(columns)).enumerate();
        each(pairs, threads, |(k, (v, q))| {
            v[..k].fill(0.0);
            q[first + k] = reflection(rng, first + k, &mut v[k..]);
        });
        block.set(v, first, width);
        each(q.chunks_mut(BAND * columns), threads, |band| {
            arch.dispatch(Apply { block: &block, columns, band });
        });
    }
    Ok(q)
}

fn zeros<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut values = room_for(WHAT, len)?;
    values.resize(len, T::default());
    Ok(values)
}

/// Draws the vector of the k-th reflection, and returns the sign of the k-th row: that of the diagonal of R.
fn reflection(rng: &ChaCha8Rng, k: usize, v: &mut [f32]) -> f32 {
    let mut rng = rng.clone();
    // Further from the next than a vector has numbers.
    rng.set_word_pos((k as u128) << 32);
    v.iter_mut().zip(normals(&mut rng)).for_each(|(v, normal)| *v = normal as f32);
    let norm = v.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    let sign = if v[0] < 0.0 { -1.0 } else { 1.0 };
    // Any vector but 0 is one of a reflection.
    v[0] = if norm > 0.0 { (f64::from(v[0]) + sign * norm) as f32 } else { 1.0 };
    -sign as f32
}

/// Reflections that are applied at once.
struct Block {
    arch: Arch,
    threads: usize,
    reflections: usize,
    /// The first column that they change.
    first: usize,
    /// The words of 3 vectors.
    tile: usize,
    /// `reflections`, rounded up to tiles.
    size: usize,
    /// The number of columns that they change, rounded up to tiles.
    width: usize,
    /// V, for sums over columns: `[size/tile, width, tile]`.
    across: Vec<f64>,
    /// V, for sums over reflections: `[width/tile, size, tile]`.
    along: Vec<f64>,
    /// T⁻¹, column by column: `[reflections, size]`.
    inverse: Vec<f64>,
}

impl Block {
    /// With room for the blocks of a matrix of this size.
    fn new(arch: Arch, rows: usize, columns: usize) -> Result<Self> {
        // Less is done before another thread is awake.
        let products = rows.saturating_mul(rows).saturating_mul(columns);
        let threads = if products < 1 << 22 { 1 } else { count() };
        let reflections = BLOCK.min(rows);
        let tile = arch.dispatch(Tile);
        let size = reflections.next_multiple_of(tile);
        let len = size.saturating_mul(columns.next_multiple_of(tile));
        let (across, along, inverse) = (zeros(len)?, zeros(len)?, zeros(reflections * size)?);
        Ok(Self {
            arch,
            threads,
            reflections,
            first: 0,
            tile,
            size,
            width: 0,
            across,
            along,
            inverse,
        })
    }

    /// Takes over the vectors `v`, each of `width` values from the column `first` on.
    fn set(&mut self, v: &[f32], first: usize, width: usize) {
        let (tile, threads) = (self.tile, self.threads);
        self.reflections = v.len() / width;
        self.first = first;
        self.size = self.reflections.next_multiple_of(tile);
        self.width = width.next_multiple_of(tile);
        let len = self.size * self.width;
        let panels = self.across[..len].chunks_exact_mut(self.width * tile);
        each(panels.zip(v.chunks(tile * width)), threads, |(to, v)| {
            to.fill(0.0);
            for (r, v) in v.chunks_exact(width).enumerate() {
                to[r..].iter_mut().step_by(tile).zip(v).for_each(|(to, &v)| *to = v.into());
            }
        });
        let panels = self.along[..len].chunks_exact_mut(self.size * tile).enumerate();
        each(panels, threads, |(t, to)| {
            to.fill(0.0);
            for (to, v) in to.chunks_exact_mut(tile).zip(v.chunks_exact(width)) {
                to.iter_mut().zip(&v[t * tile..]).for_each(|(to, &v)| *to = v.into());
            }
        });
        let mut inverse = std::mem::take(&mut self.inverse);
        inverse.fill(0.0);
        let columns = inverse.chunks_mut(ROWS * self.size);
        each(v.chunks(ROWS * width).zip(columns), threads, |(rows, to)| {
            self.arch.dispatch(Products { block: self, rows, columns: width, first: 0, to });
        });
        for (r, column) in inverse.chunks_exact_mut(self.size).take(self.reflections).enumerate() {
            column[r] /= 2.0;
        }
        self.inverse = inverse;
    }
}

/// The words of 3 vectors.
struct Tile;

impl WithSimd for Tile {
    type Output = usize;
    fn with_simd<S: Simd>(self, _: S) -> usize {
        3 * S::F64_LANES
    }
}

/// Adds rows V to `to`, `[rows, size]`.
struct Products<'a> {
    block: &'a Block,
    rows: &'a [f32],
    /// The words of a row.
    columns: usize,
    /// The column of the rows at which V begins.
    first: usize,
    to: &'a mut [f64],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block, rows, columns, first, to } = self;
        let &Block { size, width, tile, .. } = block;
        let panels = || block.across[..size * width].chunks_exact(width * tile).enumerate();
        let mut values = [[0.0; DEPTH]; ROWS];
        for from in (0..width).step_by(DEPTH) {
            let depth = DEPTH.min(width - from);
            for (rows, to) in rows.chunks(ROWS * columns).zip(to.chunks_mut(ROWS * size)) {
                load(rows, columns, first + from, &mut values);
                for (t, panel) in panels() {
                    let panel = &panel[from * tile..][..depth * tile];
                    let values = values.each_ref().map(|row| &row[..]);
                    add_products(simd, values, panel, to, size, t * tile);
                }
            }
        }
    }
}

/// Applies a block to rows: Q -= (Q V) Tᵀ Vᵀ.
struct Apply<'a> {
    block: &'a Block,
    columns: usize,
    band: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block, columns, band } = self;
        let &Block { size, width, tile, first, .. } = block;
        let mut sums = [0.0; BAND * BLOCK];
        let sums = &mut sums[..(band.len() / columns).next_multiple_of(ROWS) * size];
        Products { block, rows: band, columns, first, to: sums }.with_simd(simd);
        for row in sums.chunks_exact_mut(size) {
            // Solved for the products with Tᵀ, from the last on.
            for r in (0..block.reflections).rev() {
                let column = &block.inverse[r * size..][..=r];
                let z = row[r] / column[r];
                row[..r].iter_mut().zip(column).for_each(|(y, &t)| *y -= t * z);
                row[r] = f64::from(-z as f32);
            }
        }
        let mut values = [[0.0; DEPTH]; ROWS];
        for from in (0..width).step_by(DEPTH) {
            let depth = DEPTH.min(width - from);
            let panels = &block.along[from * size..][..depth * size];
            for (rows, z) in band.chunks_mut(ROWS * columns).zip(sums.chunks_exact(ROWS * size)) {
                load(rows, columns, first + from, &mut values);
                for (t, panel) in panels.chunks_exact(size * tile).enumerate() {
                    let z = std::array::from_fn(|i| &z[i * size..][..size]);
                    add_products(simd, z, panel, values.as_flattened_mut(), DEPTH, t * tile);
                }
                for (row, values) in rows.chunks_exact_mut(columns).zip(&values) {
                    let row = &mut row[first + from..];
                    row.iter_mut().zip(&values[..depth]).for_each(|(to, &v)| *to = v as f32);
                }
            }
        }
    }
}

/// The values of rows from the column `at` on; 0 behind the last.
#[inline(always)]
fn load(rows: &[f32], columns: usize, at: usize, values: &mut [[f64; DEPTH]; ROWS]) {
    for (row, values) in rows.chunks_exact(columns).zip(values) {
        let row = &row[at..];
        let n = row.len().min(DEPTH);
        values[..n].iter_mut().zip(row).for_each(|(to, &v)| *to = v.into());
        values[n..].fill(0.0);
    }
}

/// Adds the products of rows with a panel `[.., tile]` to the words `at..at + tile` of rows of sums, which lie
/// `stride` words apart; where there are fewer of these, the other rows are left out.
#[inline(always)]
fn add_products<S: Simd>(
    simd: S,
    rows: [&[f64]; ROWS],
    panel: &[f64],
    sums: &mut [f64],
    stride: usize,
    at: usize,
) {
    let tile = at..at + 3 * S::F64_LANES;
    let mut registers = [[simd.splat_f64s(0.0); 3]; ROWS];
    for (register, sums) in registers.iter_mut().zip(sums.chunks(stride)) {
        register.copy_from_slice(S::as_simd_f64s(&sums[tile.clone()]).0);
    }
    let [a, b, c, d] = rows;
    let panel = S::as_simd_f64s(panel).0.chunks_exact(3);
    // Zipped, since indices would be checked at each term.
    for ((((v, &a), &b), &c), &d) in panel.zip(a).zip(b).zip(c).zip(d) {
        for (register, x) in registers.iter_mut().zip([a, b, c, d]) {
            let x = simd.splat_f64s(x);
            for (sum, &v) in register.iter_mut().zip(v) {
                *sum = match S::F64_LANES {
                    // There may be no such instruction.
                    1 => simd.add_f64s(*sum, simd.mul_f64s(x, v)),
                    _ => simd.mul_add_f64s(x, v, *sum),
                };
            }
        }
    }
    for (register, sums) in registers.iter().zip(sums.chunks_mut(stride)) {
        S::as_mut_simd_f64s(&mut sums[tile.clone()]).0.copy_from_slice(register);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use rand_chacha::rand_core::SeedableRng;

    /// Vectors as wide as they are here, or none; one thread or several.
    #[test]
    fn bits_depend_on_neither_vectors_nor_threads() {
        let rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, columns) in [(1, 1), (1, 4), (5, 5), (97, 97), (70, 280), (200, 331)] {
            let on = |arch: Arch, threads| {
                let device = Device::cpu_with_threads(threads).unwrap();
                let values = device.on_host(|| on_processor(arch, &rng, rows, columns)).unwrap();
                values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            let reference = on(Arch::Scalar, 1);
            assert_eq!(on(Arch::new(), 1), reference, "{rows} {columns}");
            assert_eq!(on(Arch::new(), 3), reference, "{rows} {columns}");
        }
    }
}
