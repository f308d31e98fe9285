//! What is drawn, read back from an SVG by the numbers on its own axes.

use resvg::tiny_skia::Pixmap;
use wgpu_lstm::plot::Picture;

/// The elements of an SVG, one a line, as this crate writes it.
pub(crate) struct Svg(pub(crate) String);

impl Svg {
    /// Draws a picture both ways, and checks what holds for all: it is XML that a reader takes, it has its size, and
    /// something else than white is in it.
    pub(crate) fn of(name: &str, picture: &Picture, [width, height]: [u32; 2]) -> Self {
        let svg = picture.to_svg().unwrap();
        let bytes = picture.to_png().unwrap();
        if let Some(folder) = std::env::var_os("WGPU_LSTM_TEST_PICTURES") {
            let path = std::path::Path::new(&folder).join(name);
            picture.save(path.with_extension("svg")).unwrap();
            picture.save(path.with_extension("png")).unwrap();
        }
        let pixels = Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (width, height), "{name}");
        assert!(pixels.pixels().iter().all(|p| p.alpha() == 255), "{name} is not see-through");
        let white =
            pixels.pixels().iter().filter(|p| (p.red(), p.green(), p.blue()) == (255, 255, 255));
        let share = white.count() as f64 / f64::from(width * height);
        assert!((0.001..0.995).contains(&share), "{name}: {share} is white");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}: {svg}");
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count(), "{name}");
        let svg = Self(svg);
        svg.is_inside(name, f64::from(width), f64::from(height));
        svg
    }

    /// No point and no text lies outside, as far as a text's place tells.
    pub(crate) fn is_inside(&self, name: &str, width: f64, height: f64) {
        for line in self.0.lines().filter(|line| line.starts_with("<text")) {
            let [x, y] = ["x", "y"].map(|key| attribute(line, key).parse::<f64>().unwrap());
            assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{name}: {line}");
        }
        for [x, y] in self.0.lines().filter(|line| line.contains("points=")).flat_map(points) {
            assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{name}: {x} {y}");
        }
    }

    /// The lines of the first group of a class with a name, or of any name.
    pub(crate) fn group(&self, class: &str, name: Option<&str>) -> Self {
        let begin = match name {
            Some(name) => format!("<g class=\"{class}\" data-name=\"{name}\">"),
            None => format!("<g class=\"{class}\""),
        };
        let (mut depth, mut found) = (0, String::new());
        for line in self.0.lines().skip_while(|line| !line.starts_with(&begin)) {
            depth += i32::from(line.starts_with("<g ")) - i32::from(line.starts_with("</g>"));
            found += line;
            found.push('\n');
            if depth == 0 {
                return Self(found);
            }
        }
        panic!("no {class} {name:?} in {}", self.0);
    }

    pub(crate) fn panel(&self, name: &str) -> Self {
        self.group("panel", Some(name))
    }

    pub(crate) fn panels(&self) -> Vec<String> {
        let groups = self.0.lines().filter(|line| line.starts_with("<g class=\"panel\""));
        groups.map(|line| attribute(line, "data-name").to_owned()).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.0.lines().filter(|line| line.starts_with("<text"));
        texts.map(|line| inside(line).to_owned()).collect()
    }

    /// The pixels and the values of an axis' ticks.
    pub(crate) fn ticks(&self, axis: &str) -> Vec<[f64; 2]> {
        let group = self.group(axis, None);
        let mut lines = group.0.lines().skip(1);
        let mut found = Vec::new();
        while let (Some(line), Some(text)) = (lines.next(), lines.next()) {
            if !line.starts_with("<path") {
                break;
            }
            let ends: Vec<f64> =
                attribute(line, "d")[1..].split([' ', 'L']).map(|n| n.parse().unwrap()).collect();
            found.push([ends[usize::from(axis == "y")], inside(text).parse().unwrap()]);
        }
        found
    }

    /// Takes pixels of an axis to its values, by two of its ticks.
    pub(crate) fn scale(&self, axis: &str, log: bool) -> impl Fn(f64) -> f64 {
        let ticks = self.ticks(axis);
        let on = move |v: f64| if log { v.log10() } else { v };
        let ([p, v], [q, w]) = (ticks[0], ticks[ticks.len() - 1]);
        let slope = (on(w) - on(v)) / (q - p);
        move |pixel| {
            let value = on(v) + (pixel - p) * slope;
            if log { 10f64.powf(value) } else { value }
        }
    }

    /// The points of a line in the values of the axes, its pieces one after the other.
    pub(crate) fn line(&self, name: &str, [log_x, log_y]: [bool; 2]) -> Vec<[f64; 2]> {
        let (x, y) = (self.scale("x", log_x), self.scale("y", log_y));
        let title = format!("<title>{name}</title>");
        let own =
            self.0.lines().filter(|line| line.starts_with("<polyline") && line.contains(&title));
        own.flat_map(points).map(|[at, up]| [x(at), y(up)]).collect()
    }

    pub(crate) fn circles(&self) -> usize {
        self.0.lines().filter(|line| line.starts_with("<circle")).count()
    }

    /// The colour of each cell, row by row, as red, green, blue.
    pub(crate) fn cells(&self, columns: usize) -> Vec<[u8; 3]> {
        let group = self.group("cells", None);
        let mut cells = Vec::new();
        for line in group.0.lines().filter(|line| line.starts_with("<path")) {
            let color = attribute(line, "fill");
            let color = [1, 3, 5].map(|at| u8::from_str_radix(&color[at..at + 2], 16).unwrap());
            for piece in attribute(line, "d").split('M').skip(1) {
                let place: Vec<f64> =
                    piece.split([' ', 'h']).take(2).map(|n| n.parse().unwrap()).collect();
                cells.push(([place[1], place[0]], color));
            }
        }
        cells.sort_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        assert!(cells.len().is_multiple_of(columns), "{} cells", cells.len());
        cells.into_iter().map(|(_, color)| color).collect()
    }
}

pub(crate) fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let begin = format!(" {name}=\"");
    line.split(&begin)
        .nth(1)
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        .split('"')
        .next()
        .unwrap()
}

pub(crate) fn inside(line: &str) -> &str {
    line.split('>').nth(1).unwrap().split('<').next().unwrap()
}

pub(crate) fn points(line: &str) -> Vec<[f64; 2]> {
    let pair = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        [x.parse().unwrap(), y.parse().unwrap()]
    };
    attribute(line, "points").split(' ').map(pair).collect()
}

/// How light a colour is.
pub(crate) fn luma([r, g, b]: [u8; 3]) -> f64 {
    0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
}

/// Values at these x, to a thousandth of the axis or of themselves.
#[track_caller]
pub(crate) fn assert_line(found: &[[f64; 2]], x: &[f64], y: &[f32]) {
    assert_eq!(found.len(), y.len(), "{found:?}");
    let span = y.iter().fold(0.0f64, |most, &v| most.max(f64::from(v).abs()));
    for (([fx, fy], x), &y) in found.iter().zip(x).zip(y) {
        assert!((fx - x).abs() <= 0.01 * x.abs().max(1.0), "{fx}, not {x}");
        assert!((fy - f64::from(y)).abs() <= 0.002 * span, "{fy}, not {y}");
    }
}

#[track_caller]
pub(crate) fn assert_logarithms(found: &[[f64; 2]], y: &[f32]) {
    assert_eq!(found.len(), y.len(), "{found:?}");
    for ([_, found], &y) in found.iter().zip(y) {
        assert!((found / f64::from(y)).log10().abs() < 0.01, "{found}, not {y}");
    }
}

pub(crate) fn counted(from: usize, len: usize) -> Vec<f64> {
    (from..from + len).map(|x| x as f64).collect()
}
