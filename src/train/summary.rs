//! A model as a table.

use crate::nn::{Layer, Own};
use std::sync::Arc;

/// A line for each layer: its kind, the shape of its output, its parameters. With which layers are frozen, and how
/// many values.
pub(super) fn table(
    layers: &[Arc<dyn Layer>],
    built: bool,
    (frozen_layers, frozen): (&[bool], usize),
) -> String {
    let mut lines = vec![["layer".to_owned(), "output".to_owned(), "parameters".to_owned()]];
    let (mut sequence, mut total) = (true, 0);
    for (layer, frozen) in layers.iter().zip(frozen_layers) {
        sequence = layer.gives_sequence(sequence);
        total += layer.parameter_count();
        let mark = if *frozen { " (frozen)" } else { "" };
        let axes = if sequence { "B, T" } else { "B" };
        lines.push(line(layer.as_ref(), built, format!("{}{mark}", layer.kind()), axes));
        add_inner(layer.as_ref(), built, 1, &mut lines);
    }
    let width = |i: usize| lines.iter().map(|line| line[i].len()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let mut text: String = lines
        .iter()
        .map(|[kind, shape, count]| format!("{kind:a$}  {shape:b$}  {count:>c$}\n"))
        .collect();
    text += &match built {
        true if frozen > 0 => {
            format!("{} parameters, {} of them frozen", thousands(total), thousands(frozen))
        }
        true => format!("{} parameters", thousands(total)),
        false => "not built: the first fit, or build(input_size), makes the parameters".into(),
    };
    text
}

/// A number with grouped digits: 1234567 as 1,234,567.
/// A line of a layer, by this name.
fn line(layer: &dyn Layer, built: bool, name: String, axes: &str) -> [String; 3] {
    let size = match layer.output_size() {
        0 => "?".to_owned(),
        size => size.to_string(),
    };
    let count = if built { thousands(layer.parameter_count()) } else { "?".into() };
    [name, format!("[{axes}, {size}]"), count]
}

/// The lines of the layers inside of a layer, which do not say whether they give sequences.
fn add_inner(layer: &dyn Layer, built: bool, depth: usize, lines: &mut Vec<[String; 3]>) {
    for inner in layer.inner(Own) {
        let name = format!("{}{}", "  ".repeat(depth), inner.kind());
        lines.push(line(inner, built, name, ".."));
        add_inner(inner, built, depth + 1, lines);
    }
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(super::thousands(n), text);
        }
    }
}
