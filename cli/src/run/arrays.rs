//! Arrays from files of numpy, and what they have in a few lines.

use crate::inspect::{takes_only_rows, takes_rows};
use crate::text::three_digits;
use anyhow::{Result, bail};
use std::path::Path;
use wgpu_lstm::data::{NpyArray, Sequences};
use wgpu_lstm::train::LayerPlan;

/// Numbers of a shape, in C order.
pub struct Array {
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

/// Integers are exact, which a float would not keep.
pub enum Numbers {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// The sequences of a file that a model of these layers takes: frames, rows of one frame each, or tokens.
pub fn sequences(array: &NpyArray, features: usize, plans: &[LayerPlan]) -> Result<Sequences> {
    let tokens = plans.first().is_some_and(|plan| plan.kind == "embedding");
    let (only_rows, rows_go) = (takes_only_rows(plans), takes_rows(plans));
    let shape = match *array.shape() {
        [rows, steps] if features == 1 && !only_rows => Some([rows, steps, 1]),
        [rows, found] if found == features && rows_go => Some([rows, 1, features]),
        [rows, steps, found] if found == features && (steps == 1 || !only_rows) => {
            Some([rows, steps, features])
        }
        _ => None,
    };
    let Some(shape) = shape else {
        let expected = match (tokens, features) {
            (true, _) => "tokens [B,T]".into(),
            _ if only_rows => format!("[B,{features}]"),
            (false, 1) => "[B,T,1] or [B,T]".into(),
            _ if rows_go => format!("[B,T,{features}], or rows [B,{features}] of one frame each"),
            _ => format!("[B,T,{features}]"),
        };
        bail!("it is {:?}, expected {expected}, as the model has it", array.shape());
    };
    if !tokens {
        return Ok(Sequences::from_array(&array.read()?, shape)?);
    }
    let tokens = array.read_classes()?;
    // A float holds all below this, and a table has fewer.
    if let Some(token) = tokens.iter().find(|&&token| token >= 1 << 24) {
        bail!("it has {token}, expected tokens below {}", 1 << 24);
    }
    let tokens: Vec<f32> = tokens.into_iter().map(|token| token as f32).collect();
    Ok(Sequences::from_array(&tokens, shape)?)
}

impl Array {
    pub fn write(&self, path: &Path) -> Result<()> {
        match &self.numbers {
            Numbers::Floats(values) => NpyArray::save(path, values, &self.shape)?,
            Numbers::Ints(values) => NpyArray::save_i64(path, values, &self.shape)?,
        }
        Ok(())
    }

    /// Shape, range and first rows.
    pub fn summary(&self, name: &str) -> String {
        let mut text = format!("{} {:?}", name.escape_debug(), self.shape);
        let (range, rows) = match &self.numbers {
            Numbers::Floats(values) => (range(values), self.rows(values, |&x| number(x))),
            Numbers::Ints(values) => {
                let range = values.iter().min().zip(values.iter().max());
                let range = range.map(|(least, most)| format!(", from {least} to {most}"));
                (range.unwrap_or_default(), self.rows(values, |x| format!("{x:8}")))
            }
        };
        text += &format!("{range}\n{rows}");
        text
    }

    /// The first rows, with their places.
    fn rows<T>(&self, values: &[T], number: impl Fn(&T) -> String) -> String {
        let width = self.shape.last().copied().unwrap_or(1).max(1);
        let mut text = String::new();
        for (i, row) in values.chunks(width).take(ROWS).enumerate() {
            let more = if row.len() > COLUMNS { " …" } else { "" };
            let row = row.iter().take(COLUMNS).map(|x| format!(" {}", number(x)));
            text += &format!("  {}{}{more}\n", place(i, &self.shape), row.collect::<String>());
        }
        if values.len().div_ceil(width) > ROWS {
            text += "  …\n";
        }
        text
    }
}

/// A float of some rows in columns: those that the columns do not hold by their power of ten.
fn number(x: f32) -> String {
    match x.abs() {
        a if a.is_finite() && a != 0.0 && !(1e-4..1e5).contains(&a) => format!("{x:8.2e}"),
        _ => format!("{x:8.5}"),
    }
}

/// From where to where floats go.
fn range(values: &[f32]) -> String {
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    let count = finite().count();
    let mut text = String::new();
    if count > 0 {
        let least = finite().fold(f32::INFINITY, f32::min);
        let most = finite().fold(f32::NEG_INFINITY, f32::max);
        let mean = finite().map(f64::from).sum::<f64>() / count as f64;
        text += &format!(
            ", from {} to {}, mean {}",
            three_digits(least.into()),
            three_digits(most.into()),
            three_digits(mean)
        );
    }
    if values.len() > count {
        text += &format!(", {} not finite", values.len() - count);
    }
    text
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
        let text = Array { shape: vec![3, 2], numbers: Numbers::Floats(values) }.summary("output");
        assert!(
            text.starts_with("output [3, 2], from -1.00 to 3.00, mean 0.7500, 2 not finite\n"),
            "{text}"
        );
        assert!(text.contains("\n  [2]  0.00000 -1.00000\n"), "{text}");
    }

    #[test]
    fn numbers_stand_apart_and_integers_are_whole() {
        let values = vec![123_456.7, -3.4e38, 1e-7, -0.5];
        let text = Array { shape: vec![1, 4], numbers: Numbers::Floats(values) }.summary("y");
        assert!(text.contains("from -3.40e38 to 123,457, mean -8.50e37"), "{text}");
        assert!(text.contains("  [0]   1.23e5 -3.40e38  1.00e-7 -0.50000\n"), "{text}");
        let values = vec![i64::MIN, 16_777_217];
        let text = Array { shape: vec![2], numbers: Numbers::Ints(values) }.summary("a\nb");
        let (least, row) = (i64::MIN, "  [] -9223372036854775808 16777217\n");
        assert_eq!(text, format!("a\\nb [2], from {least} to 16777217\n{row}"));
    }

    #[test]
    fn places_count_the_last_axis_but_one_first() {
        assert_eq!([0, 3, 7].map(|row| place(row, &[2, 5, 9])), ["[0,0]", "[0,3]", "[1,2]"]);
        assert_eq!(place(0, &[4]), "[]");
    }
}
