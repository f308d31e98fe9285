//! Spans of words in a picture.

use std::fmt::Write;
use std::ops::Range;

/// A sentence with the tags that were found and those that are right, and a word that is underlined, if any.
pub struct Row<'a> {
    pub words: Vec<&'a str>,
    pub found: Vec<&'a str>,
    pub truth: Vec<&'a str>,
    pub marked: Option<usize>,
}

/// Writes a picture of some sentences, and says what was found in the first.
pub fn draw(rows: &[Row<'_>], name: &str) -> anyhow::Result<()> {
    if let Some(row) = rows.first() {
        println!("{}", row.words.join(" "));
        for (span, kind) in spans(&row.found) {
            println!("  {kind}: {}", row.words[span].join(" "));
        }
    }
    Ok(std::fs::write(super::common::picture(name), svg(rows))?)
}

/// The spans of tags `O`, `B-X` and `I-X`, with their kind.
fn spans<'a>(tags: &[&'a str]) -> Vec<(Range<usize>, &'a str)> {
    let mut spans: Vec<(Range<usize>, &str)> = Vec::new();
    for (at, tag) in tags.iter().enumerate() {
        let Some((begin, kind)) = tag.split_once('-') else { continue };
        match spans.last_mut() {
            Some((span, last)) if begin == "I" && *last == kind && span.end == at => span.end += 1,
            _ => spans.push((at..at + 1, kind)),
        }
    }
    spans
}

/// An SVG: blue spans are right, orange ones are not, and what was missed is underlined by dashes.
fn svg(rows: &[Row<'_>]) -> String {
    let width = |word: &str| -> f32 {
        word.chars().map(|c| if c.len_utf8() > 2 { 16.0 } else { 9.6 }).sum::<f32>()
    };
    let (mut body, mut right) = (String::new(), 0.0f32);
    for (row, y) in rows.iter().zip((0..).map(|row| 34 + 58 * row)) {
        let mut ends = vec![10.0];
        for word in &row.words {
            ends.push(ends[ends.len() - 1] + width(word) + 7.0);
        }
        right = right.max(ends[ends.len() - 1]);
        let (found, truth) = (spans(&row.found), spans(&row.truth));
        let place =
            |span: &Range<usize>| (ends[span.start], ends[span.end] - ends[span.start] - 5.0);
        let mut add = |text: std::fmt::Arguments<'_>| body.write_fmt(text).unwrap_or_default();
        for span in &found {
            let ((x, w), color) =
                (place(&span.0), if truth.contains(span) { "#b8d8f8" } else { "#ffc890" });
            add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{}\" width=\"{w:.1}\" height=\"22\" rx=\"3\" fill=\"{color}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" font-size=\"10\">{}</text>\n",
                y - 16,
                y - 19,
                span.1
            ));
        }
        for span in truth.iter().filter(|span| !found.contains(span)) {
            let (x, w) = place(&span.0);
            add(format_args!(
                "<path d=\"M{x:.1} {0}h{w:.1}\" stroke=\"#c04000\" stroke-dasharray=\"4 2\"/>\
                 <text x=\"{x:.1}\" y=\"{1}\" font-size=\"10\" fill=\"#c04000\">{2}</text>\n",
                y + 10,
                y + 20,
                span.1
            ));
        }
        for (at, word) in row.words.iter().enumerate() {
            let weight = if row.marked == Some(at) { " font-weight=\"bold\"" } else { "" };
            let word = word.replace('&', "&amp;").replace('<', "&lt;");
            add(format_args!(
                "<text x=\"{:.1}\" y=\"{y}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"{weight}>{word}</text>\n",
                ends[at] + 1.0,
                ends[at + 1] - ends[at] - 7.0
            ));
        }
    }
    let (right, height) = (right + 10.0, 58 * rows.len() + 6);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right:.0}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"16\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}
