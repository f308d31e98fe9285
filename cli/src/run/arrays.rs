//! Arrays from files of numpy, and what they have in a few lines.

use crate::text::three_digits;
use anyhow::{Result, bail};
use std::path::Path;
use wgpu_lstm::data::{NpyArray, Sequences};

/// Numbers of a shape, in C order.
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Array {
    pub fn read(path: &Path) -> Result<Self> {
        let array = NpyArray::open(path)?;
        Ok(Self { shape: array.shape().to_vec(), values: array.read()? })
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(NpyArray::save(path, &self.values, &self.shape)?)
    }

    /// Sequences of frames, or of tokens.
    pub fn sequences(&self) -> Result<Sequences> {
        let shape = match self.shape[..] {
            [rows, steps] => [rows, steps, 1],
            [rows, steps, features] => [rows, steps, features],
            _ => bail!("the input is {:?}, expected [B,T,I], or tokens [B,T]", self.shape),
        };
        Ok(Sequences::from_array(&self.values, shape)?)
    }

    /// Shape, range and first rows.
    pub fn summary(&self, name: &str) -> String {
        let finite = || self.values.iter().copied().filter(|x| x.is_finite());
        let (count, sum) = finite().fold((0, 0.0), |(n, sum), x| (n + 1, sum + f64::from(x)));
        let mut text = format!("{name} {:?}", self.shape);
        if count > 0 {
            let least = finite().fold(f32::INFINITY, f32::min);
            let most = finite().fold(f32::NEG_INFINITY, f32::max);
            let mean = sum / f64::from(count);
            text += &format!(
                ", from {} to {}, mean {}",
                three_digits(least.into()),
                three_digits(most.into()),
                three_digits(mean)
            );
        }
        let bad = self.values.len() - count as usize;
        if bad > 0 {
            text += &format!(", {bad} not finite");
        }
        text.push('\n');
        let width = self.shape.last().copied().unwrap_or(1).max(1);
        for (i, row) in self.values.chunks(width).take(ROWS).enumerate() {
            let more = if row.len() > COLUMNS { " …" } else { "" };
            let row = row.iter().take(COLUMNS).map(|x| format!("{x:9.5}"));
            text += &format!("  {}{}{more}\n", place(i, &self.shape), row.collect::<String>());
        }
        if self.values.len() > ROWS * width {
            text += "  …\n";
        }
        text
    }
}

/// What a summary shows.
const ROWS: usize = 5;
const COLUMNS: usize = 8;

/// The place of a row: `[0,3]`.
fn place(mut row: usize, shape: &[usize]) -> String {
    let mut places = Vec::new();
    let axes = shape.len().saturating_sub(1);
    for &size in shape[..axes].iter().rev() {
        places.push((row % size.max(1)).to_string());
        row /= size.max(1);
    }
    places.reverse();
    format!("[{}]", places.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_what_is_not_finite() {
        let values = vec![1.0, f32::NAN, 3.0, f32::INFINITY, 0.0, -1.0];
        let text = Array { shape: vec![3, 2], values }.summary("output");
        assert!(
            text.starts_with("output [3, 2], from -1.00 to 3.00, mean 0.7500, 2 not finite\n"),
            "{text}"
        );
        assert!(text.contains("\n  [2]  0.00000 -1.00000\n"), "{text}");
    }

    #[test]
    fn places_count_the_last_axis_but_one_first() {
        assert_eq!([0, 3, 7].map(|row| place(row, &[2, 5, 9])), ["[0,0]", "[0,3]", "[1,2]"]);
        assert_eq!(place(0, &[4]), "[]");
    }
}
