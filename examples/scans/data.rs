//! Slices of a head, and what a poor scanner makes of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;
use wgpu_lstm::data::NpzFile;

/// The deviation of the noise, where white matter is about 0.9.
const NOISE: f32 = 0.08;
/// How uneven the field is: the exponent of each of its five terms at most.
const FIELD: f32 = 0.25;

/// Slices of one size.
pub struct Slices {
    /// Rows and columns of each.
    pub size: [usize; 2],
    /// How light each pixel is, from 0 to 1: `[slices, rows, columns]`.
    pub light: Vec<f32>,
    /// What it is: the background 0, cerebrospinal fluid 1, grey matter 2 or white matter 3.
    pub tissue: Vec<u32>,
}

impl Slices {
    pub fn read(part: &str) -> anyhow::Result<Self> {
        let file = NpzFile::open(super::common::data("scans/slices.npz"))?;
        let light = file.array(&format!("{part}_x"))?;
        let size = [light.shape()[1], light.shape()[2]];
        let tissue = file.array(&format!("{part}_y"))?.read_classes()?;
        Ok(Self { size, light: light.read()?.iter().map(|v| v / 255.0).collect(), tissue })
    }

    pub fn len(&self) -> usize {
        self.light.len() / self.pixels()
    }

    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The tissue of a slice.
    pub fn truth(&self, slice: usize) -> &[u32] {
        &self.tissue[slice * self.pixels()..][..self.pixels()]
    }

    /// A slice as a scanner may see it: lighter on one side than on the other, since its field is uneven, and with
    /// the noise of magnitudes: normal on both axes of the complex numbers (Gudbjartsson & Patz 1995).
    pub fn scan(&self, slice: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let light = &self.light[slice * self.pixels()..][..self.pixels()];
        let terms: [f32; 5] = std::array::from_fn(|_| rng.random_range(-FIELD..FIELD));
        let [rows, columns] = self.size;
        let at = |place: usize, places: usize| 2.0 * place as f32 / (places - 1) as f32 - 1.0;
        let seen = |(pixel, light): (usize, &f32)| {
            let (y, x) = (at(pixel / columns, rows), at(pixel % columns, columns));
            let field = [x, y, x * y, x * x - 1.0 / 3.0, y * y - 1.0 / 3.0];
            let field: f32 = field.iter().zip(terms).map(|(a, b)| a * b).sum();
            let radius = NOISE * (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
            let (sine, cosine) = (TAU * rng.random::<f32>()).sin_cos();
            (light * field.exp() + radius * cosine).hypot(radius * sine)
        };
        light.iter().enumerate().map(seen).collect()
    }
}

/// Images of one size, row by row: the first row of each, the second of each, and so on.
pub fn beside<T: Copy, S: AsRef<[T]>>(images: &[S], [rows, columns]: [usize; 2]) -> Vec<T> {
    let row =
        |row: usize| images.iter().map(move |image| &image.as_ref()[row * columns..][..columns]);
    (0..rows).flat_map(row).flatten().copied().collect()
}
