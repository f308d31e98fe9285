//! A drawing as SVG, and that as PNG.

use crate::{Error, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

/// A part of DejaVu Sans: see `DejaVuSans.md` beside it.
const FONT: &[u8] = include_bytes!("DejaVuSans.ttf");

/// What a browser takes: all have letters of about the same width.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// The colour of texts.
pub(super) const INK: &str = "#222222";

/// What is drawn on: a rectangle in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// Where a text lies of its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    pub(super) color: &'a str,
    /// The degrees by which it is turned.
    pub(super) turned: f64,
}

impl Text<'_> {
    /// Of this size, dark and straight.
    pub(super) fn new(size: f64, anchor: Anchor) -> Self {
        Self { size, anchor, color: INK, turned: 0.0 }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke<'a> {
    pub(super) color: &'a str,
    pub(super) width: f64,
    pub(super) dashed: bool,
}

/// A drawing that grows.
pub(super) struct Svg(String);

impl Svg {
    /// A white sheet of this size in pixels.
    pub(super) fn new([width, height]: [u32; 2], title: &str) -> Self {
        let mut svg = Self(String::new());
        svg.add(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\" role=\"img\">\n<title>{}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            escaped(title)
        ));
        svg
    }

    fn add(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Begins a part of the drawing, which a program finds by this name.
    pub(super) fn open(&mut self, class: &str, name: &str) {
        self.add(&format!("<g class=\"{class}\" data-name=\"{}\">\n", escaped(name)));
    }

    pub(super) fn close(&mut self) {
        self.add("</g>\n");
    }

    pub(super) fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], stroke: Stroke<'_>) {
        let line = format!("<path d=\"M{} {}L{} {}\"", pixel(x1), pixel(y1), pixel(x2), pixel(y2));
        self.add(&format!("{line} fill=\"none\"{}/>\n", stroke.text()));
    }

    /// A line through points, which says in a browser what it is.
    pub(super) fn polyline(&mut self, points: &[[f64; 2]], stroke: Stroke<'_>, name: &str) {
        let (points, stroke, name) = (text_of(points), stroke.text(), escaped(name));
        self.add(&format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke-linejoin=\"round\"{stroke}>\
             <title>{name}</title></polyline>\n"
        ));
    }

    pub(super) fn polygon(&mut self, points: &[[f64; 2]], color: &str, opacity: f64, name: &str) {
        let (points, name) = (text_of(points), escaped(name));
        self.add(&format!(
            "<polygon points=\"{points}\" fill=\"{color}\" fill-opacity=\"{opacity:.2}\">\
             <title>{name}</title></polygon>\n"
        ));
    }

    pub(super) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, color: &str) {
        let (x, y) = (pixel(x), pixel(y));
        self.add(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{color}\"/>\n"));
    }

    /// Rectangles of one colour.
    pub(super) fn cells(&mut self, color: &str, cells: &[Area]) {
        let mut path = String::with_capacity(24 * cells.len());
        for cell in cells {
            let [x, y, w, h] = [cell.left, cell.top, cell.width, cell.height].map(pixel);
            // A text takes all that is written.
            let _ = write!(path, "M{x} {y}h{w}v{h}h-{w}z");
        }
        // Crisp edges leave no seam between neighbours.
        self.add(&format!(
            "<path fill=\"{color}\" shape-rendering=\"crispEdges\" d=\"{path}\"/>\n"
        ));
    }

    /// The outline of a rectangle.
    pub(super) fn frame(&mut self, area: Area, color: &str) {
        let [x, y, w, h] = [area.left, area.top, area.width, area.height].map(pixel);
        self.add(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"none\" stroke=\"{color}\"/>\n"
        ));
    }

    /// A text whose letters are centred on the height of a point.
    pub(super) fn text(&mut self, [x, y]: [f64; 2], text: &str, how: Text<'_>) {
        if text.is_empty() {
            return;
        }
        let anchor = match how.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turned = match how.turned == 0.0 {
            true => String::new(),
            false => format!(" transform=\"rotate({} {} {})\"", how.turned, pixel(x), pixel(y)),
        };
        let (x, y) = (pixel(x), pixel(y + 0.36 * how.size));
        let (size, color, text) = (how.size, how.color, escaped(text));
        self.add(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
             fill=\"{color}\"{turned}>{text}</text>\n"
        ));
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        self.add("</svg>\n");
        self.0
    }
}

impl Stroke<'_> {
    fn text(self) -> String {
        let dashes = if self.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        format!(" stroke=\"{}\" stroke-width=\"{}\"{dashes}", self.color, self.width)
    }
}

/// A place to a hundredth of a pixel, as short as it can be.
fn pixel(at: f64) -> f64 {
    (100.0 * at).round() / 100.0
}

fn text_of(points: &[[f64; 2]]) -> String {
    let points = points.iter().map(|&[x, y]| format!("{},{}", pixel(x), pixel(y)));
    points.collect::<Vec<_>>().join(" ")
}

/// A text for XML, which has no control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The width of a text in pixels. A letter that the font lacks counts as a wide one.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let Ok(font) = FontRef::new(FONT) else { return 0.6 * size * text.chars().count() as f64 };
    let metrics = font.glyph_metrics(Size::new(size as f32), LocationRef::default());
    let letters = font.charmap();
    let advance = |c: char| {
        let glyph = letters.map(c).filter(|glyph| glyph.to_u32() > 0);
        glyph.and_then(|glyph| metrics.advance_width(glyph)).map_or(size, f64::from)
    };
    text.chars().map(advance).sum()
}

/// The width of the widest of some texts.
pub(super) fn widest<'a>(texts: impl Iterator<Item = &'a String>, size: f64) -> f64 {
    texts.map(|text| width(text, size)).fold(0.0, f64::max)
}

/// A text cut to a width, which then ends in an ellipsis.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let short =
        |count: usize| letters[..count].iter().collect::<String>().trim_end().to_owned() + "…";
    // The more letters the wider: the most that fit are halved down to.
    let (mut fits, mut too_many) = (0, letters.len());
    while too_many - fits > 1 {
        let count = fits + (too_many - fits) / 2;
        match width(&short(count), size) <= room {
            true => fits = count,
            false => too_many = count,
        }
    }
    short(fits)
}

/// The picture of an SVG, with its own size in pixels.
pub(super) fn png(svg: &str, [width, height]: [u32; 2]) -> Result<Vec<u8>> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let fonts = FONTS.get_or_init(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
        Arc::new(fonts)
    });
    let options = Options { fontdb: fonts.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(Error::custom)?;
    let bytes = 4 * u64::from(width) * u64::from(height);
    let Some(mut pixels) = Pixmap::new(width, height) else {
        return Err(Error::OutOfMemory { what: "a picture", bytes });
    };
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels.encode_png().map_err(Error::custom)
}
