//! A model as a table.

use crate::nn::Layer;
use std::sync::Arc;

/// A line for each layer: its kind, the shape of its output, its parameters. With which layers are frozen, and how
/// many values.
pub(super) fn table(
    layers: &[Arc<dyn Layer>],
    built: bool,
    (frozen_layers, frozen): (&[bool], usize),
) -> String {
    let mut lines = vec![["layer".to_owned(), "output".to_owned(), "parameters".to_owned()]];
    let mut sequence = true;
    let mut total = 0;
    for (layer, frozen) in layers.iter().zip(frozen_layers) {
        sequence = layer.gives_sequence(sequence);
        let axes = if sequence { "B, T" } else { "B" };
        let count = layer.parameter_count();
        total += count;
        lines.push([
            if *frozen { format!("{} (frozen)", layer.kind()) } else { layer.kind().to_owned() },
            match layer.output_size() {
                0 => format!("[{axes}, ?]"),
                size => format!("[{axes}, {size}]"),
            },
            if built { thousands(count) } else { "?".into() },
        ]);
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
