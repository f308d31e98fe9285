//! Tables and numbers as texts.

/// The width in which output is kept where it can.
const WIDTH: usize = 100;

/// Lines of columns, each as wide as its widest field; numbers to the right.
pub fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |i: usize| lines.iter().filter_map(|line| line.get(i)).map(|t| t.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
    let is_number = |i: usize| {
        let fields = lines.iter().skip(1).filter_map(|line| line.get(i));
        let number = |t: &str| t.chars().all(|c| c.is_ascii_digit() || "., -".contains(c));
        lines.len() > 1 && fields.clone().all(|field| number(field))
    };
    let right: Vec<_> = (0..columns).map(is_number).collect();
    let mut text = String::new();
    for line in lines {
        let fields = line.iter().enumerate().map(|(i, field)| match right[i] {
            true => format!("{field:>width$}", width = widths[i]),
            false => format!("{field:width$}", width = widths[i]),
        });
        let line = fields.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A text that follows so many columns, in lines of [`WIDTH`].
pub fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    let room = WIDTH.saturating_sub(indent);
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// A text without what a terminal would obey: names in files may have anything.
pub fn harmless(text: &str) -> String {
    escaped(text, |c| c.escape_unicode().to_string())
}

/// As [`harmless`], of JSON, in which it stays the same text.
pub fn harmless_json(text: &str) -> String {
    escaped(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Controls, and what turns or ends lines.
        let obeyed = c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match obeyed {
            true => plain.push_str(&escape(c)),
            false => plain.push(c),
        }
    }
    plain
}

/// A number with grouped digits: 1234567 as 1,234,567.
pub fn thousands(n: u64) -> String {
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

/// A number with three digits that count.
pub fn three_digits(x: f64) -> String {
    let sign = if x < 0.0 { "-" } else { "" };
    match x.abs() {
        0.0 => "0".into(),
        a if !(1e-3..1e12).contains(&a) => format!("{x:.2e}"),
        a if a >= 1000.0 => format!("{sign}{}", thousands(a.round() as u64)),
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let line = |fields: [&str; 3]| fields.map(str::to_owned).to_vec();
        let lines = [line(["a", "n", "z"]), line(["bbb", "1,000", ""]), line(["c", "7", "ü"])];
        assert_eq!(table(&lines), "a        n  z\nbbb  1,000\nc        7  ü\n");
    }

    #[test]
    fn lines_are_no_wider_than_the_width() {
        let text = wrap(&"word ".repeat(60), 4);
        assert!(format!("    {text}").lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.split_whitespace().count(), 60);
    }

    #[test]
    fn numbers_have_three_digits() {
        let found = [12345.6, 123.45, 12.345, 1.2345, 0.12345].map(three_digits);
        assert_eq!(found, ["12,346", "123", "12.3", "1.23", "0.1235"]);
        let found = [-12345.6, 1.5e20, -2e-6, 0.0, f64::NAN].map(three_digits);
        assert_eq!(found, ["-12,346", "1.50e20", "-2.00e-6", "0", "NaN"]);
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(
            harmless("a\u{1b}[31m\tü\n\u{9b}2J\u{202e}"),
            "a\\u{1b}[31m\\u{9}ü\n\\u{9b}2J\\u{202e}"
        );
        let text =
            harmless_json(&serde_json::json!({ "a\u{7f}\u{9b}": "\u{1b}\u{2066}" }).to_string());
        assert!(text.chars().all(|c| c.is_ascii_graphic()), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(value["a\u{7f}\u{9b}"], "\u{1b}\u{2066}");
    }
}
