//! Lines over the share of the data, each with what is between the worst draw and the best.

use std::fmt::Write;
use std::path::Path;

const SIZE: [f64; 2] = [740.0, 440.0];
/// Where the axes begin and end.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 390.0;
/// Those of Okabe & Ito, which the colour-blind tell apart, too.
const COLORS: [&str; 5] = ["#d55e00", "#0072b2", "#009e73", "#000000", "#d55e00"];

/// A line: its name, and for each share the values of all draws.
pub struct Line {
    pub name: String,
    pub dashed: bool,
    pub values: Vec<Vec<f64>>,
}

/// Draws lines over shares in percent, which lie as their logarithms do.
pub fn save(title: &str, shares: &[usize], lines: &[Line], path: &Path) -> anyhow::Result<()> {
    let [first, last] = [shares[0], shares[shares.len() - 1]].map(|share| (share as f64).ln());
    let x = |share: usize| LEFT + (RIGHT - LEFT) * ((share as f64).ln() - first) / (last - first);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value;
    let text = |x: f64, y: f64, anchor: &str, text: &str| {
        format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
    };
    let [width, height] = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    svg += &text(width / 2.0, 26.0, "middle", title);
    svg += &text(width / 2.0, height - 10.0, "middle", "share of the labels that are known");
    for tenth in (0..=10).step_by(2) {
        let at = y(f64::from(tenth) / 10.0);
        svg += &text(LEFT - 8.0, at + 5.0, "end", &format!("{} %", 10 * tenth));
        writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#e4e4e4\"/>")?;
    }
    for &share in shares {
        svg += &text(x(share), BOTTOM + 20.0, "middle", &format!("{share} %"));
    }
    for (number, line) in lines.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let points = |of: fn(&Vec<f64>) -> f64| -> Vec<String> {
            let point = |(&share, values)| format!("{:.1} {:.1}", x(share), y(of(values)));
            shares.iter().zip(&line.values).map(point).collect()
        };
        let least = points(|values| values.iter().copied().fold(f64::INFINITY, f64::min));
        let mut band = points(|values| values.iter().copied().fold(0.0, f64::max));
        band.extend(least.into_iter().rev());
        let mean = points(|values| values.iter().sum::<f64>() / values.len() as f64).join("L");
        let dashes = if line.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let (band, row) = (band.join("L"), TOP + 12.0 + 20.0 * number as f64);
        writeln!(svg, "<path d=\"M{band}Z\" fill=\"{color}\" fill-opacity=\"0.15\"/>")?;
        writeln!(
            svg,
            "<path d=\"M{mean}M{} {row}h30\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.5\"{dashes}/>",
            LEFT + 12.0
        )?;
        svg += &text(LEFT + 50.0, row + 5.0, "start", &line.name);
    }
    Ok(std::fs::write(path, svg + "</svg>\n")?)
}
