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

/// A time or rate with three digits that count.
pub fn three_digits(x: f64) -> String {
    match x.abs() {
        x if x >= 1000.0 => thousands(x.round() as u64),
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
    }
}
