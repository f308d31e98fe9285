//! A panel of lines over an axis.

use super::axis::{Axis, Scale};
use super::colors;
use super::svg::{Anchor, Area, INK, Stroke, Svg, Text, fitted, widest, width};

const SMALL: f64 = 11.0;
const TITLE: f64 = 13.0;
/// The height of a row of the legend, and of the title.
const ROW: f64 = 20.0;
const GRID: Stroke<'_> = Stroke { color: "#e4e4e4", width: 1.0, dashed: false };

/// A line: its points, from left to right. A value that is not finite is a gap.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<[f64; 2]>,
    pub(super) color: &'static str,
    pub(super) dashed: bool,
}

/// What lies between two lines.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) name: String,
    /// x, the lower end, the upper.
    pub(super) points: Vec<[f64; 3]>,
    pub(super) color: &'static str,
    pub(super) opacity: f64,
}

/// What stands below the x axis.
#[derive(Debug, Clone)]
pub(super) enum Ticks {
    /// Numbers of epochs or timesteps.
    Whole,
    Numbers,
    /// The logarithms of numbers.
    Logarithmic,
    /// A text for each of 0, 1, 2 …
    Labels(Vec<String>),
}

/// A panel of lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x_name: String,
    pub(super) x_ticks: Ticks,
    pub(super) y_scale: Scale,
    pub(super) lines: Vec<Line>,
    pub(super) bands: Vec<Band>,
    /// A vertical line, and what it is.
    pub(super) mark: Option<(f64, String)>,
    /// Whether there is a line at y = 0.
    pub(super) zero: bool,
}

impl Lines {
    pub(super) fn new(title: impl Into<String>, x_name: impl Into<String>, x_ticks: Ticks) -> Self {
        Self {
            title: title.into(),
            x_name: x_name.into(),
            x_ticks,
            y_scale: Scale::Auto,
            lines: Vec::new(),
            bands: Vec::new(),
            mark: None,
            zero: false,
        }
    }

    pub(super) fn line(
        &mut self,
        name: impl Into<String>,
        points: Vec<[f64; 2]>,
        color: &'static str,
        dashed: bool,
    ) {
        self.lines.push(Line { name: name.into(), points, color, dashed });
    }

    fn y_axis(&self, height: f64) -> Axis {
        let of_lines = self.lines.iter().flat_map(|line| line.points.iter().map(|p| p[1]));
        let of_bands =
            self.bands.iter().flat_map(|band| band.points.iter().flat_map(|p| [p[1], p[2]]));
        let zero = self.zero.then_some(0.0);
        let room = (height / 32.0) as usize;
        Axis::new(of_lines.chain(of_bands).chain(zero), self.y_scale, (0.05, false), room)
    }

    fn x_axis(&self, width_of_plot: f64) -> Axis {
        let of_lines = self.lines.iter().flat_map(|line| line.points.iter().map(|p| p[0]));
        let of_bands = self.bands.iter().flat_map(|band| band.points.iter().map(|p| p[0]));
        let values = of_lines.chain(of_bands);
        let (scale, whole) = match self.x_ticks {
            Ticks::Whole | Ticks::Labels(_) => (Scale::Linear, true),
            Ticks::Numbers => (Scale::Linear, false),
            Ticks::Logarithmic => (Scale::Log, false),
        };
        let mut axis = Axis::new(values, scale, (0.02, whole), (width_of_plot / 70.0) as usize);
        if let Ticks::Labels(labels) = &self.x_ticks {
            // As many as fit beside each other, at equal distances.
            let widest = widest(labels.iter(), SMALL).min(160.0);
            let apart = match (axis.share(0.0), axis.share(1.0)) {
                (Some(a), Some(b)) => (b - a) * width_of_plot,
                _ => width_of_plot,
            };
            let step = ((widest + 12.0) / apart).ceil().max(1.0) as usize;
            let each = labels.iter().enumerate().step_by(step);
            axis.ticks = each.map(|(at, label)| (at as f64, fitted(label, SMALL, 160.0))).collect();
        }
        axis
    }

    /// The pixels that the numbers of the y axis need, and those that are left free at the right.
    pub(super) fn margins(&self, height: f64) -> [f64; 2] {
        let texts = self.y_axis(height).ticks;
        [widest(texts.iter().map(|(_, text)| text), SMALL) + 14.0, 14.0]
    }

    pub(super) fn draw(&self, svg: &mut Svg, area: Area, [left, right]: [f64; 2]) {
        svg.open("panel", &self.title);
        let header = self.header(svg, area, [left, right]);
        let below = if self.x_name.is_empty() { 22.0 } else { 42.0 };
        let plot = Area {
            left: area.left + left,
            top: area.top + header,
            width: (area.width - left - right).max(1.0),
            height: (area.height - header - below).max(1.0),
        };
        let (x, y) = (self.x_axis(plot.width), self.y_axis(plot.height));
        let across = |value: f64| Some(plot.left + plot.width * x.share(value)?);
        let up = |value: f64| Some(plot.bottom() - plot.height * y.share(value)?);
        let numbers = |anchor| Text { color: "#555555", ..Text::new(SMALL, anchor) };
        svg.open("x", &self.x_name);
        for (value, text) in &x.ticks {
            if let Some(at) = across(*value).filter(|at| (plot.left..=plot.right()).contains(at)) {
                svg.line([at, plot.top], [at, plot.bottom()], GRID);
                // The last text stays within the picture.
                let half = 0.5 * width(text, SMALL);
                let inside = at.min(area.right() - half).max(area.left + half);
                svg.text([inside, plot.bottom() + 13.0], text, numbers(Anchor::Middle));
            }
        }
        svg.close();
        svg.open("y", &self.title);
        for (value, text) in &y.ticks {
            if let Some(at) = up(*value) {
                svg.line([plot.left, at], [plot.right(), at], GRID);
                svg.text([plot.left - 6.0, at], text, numbers(Anchor::End));
            }
        }
        svg.close();
        svg.text(
            [plot.left + 0.5 * plot.width, plot.bottom() + 32.0],
            &self.x_name,
            Text::new(12.0, Anchor::Middle),
        );
        if let Some(at) = up(0.0).filter(|_| self.zero) {
            let stroke = Stroke { color: "#888888", width: 1.0, dashed: false };
            svg.line([plot.left, at], [plot.right(), at], stroke);
        }
        for band in &self.bands {
            let place = |&[x, low, high]: &[f64; 3]| Some([across(x)?, up(low)?, up(high)?]);
            for run in runs(band.points.iter().map(place)) {
                // A single step is as wide as a broad line.
                let run = match run[..] {
                    [[x, low, high]] => vec![[x - 3.0, low, high], [x + 3.0, low, high]],
                    _ => run,
                };
                let lower = run.iter().map(|p| [p[0], p[1]]);
                let upper = run.iter().rev().map(|p| [p[0], p[2]]);
                let outline: Vec<_> = lower.chain(upper).collect();
                svg.polygon(&outline, band.color, band.opacity, &band.name);
            }
        }
        if let Some(at) = self.mark.as_ref().and_then(|(value, _)| across(*value)) {
            svg.line([at, plot.top], [at, plot.bottom()], MARK);
        }
        for line in &self.lines {
            let place = |&[x, y]: &[f64; 2]| Some([across(x)?, up(y)?]);
            let stroke = Stroke { color: line.color, width: 2.0, dashed: line.dashed };
            for run in runs(line.points.iter().map(place)) {
                match run[..] {
                    // A line of one point is not seen.
                    [point] => svg.circle(point, 3.0, line.color),
                    _ => svg.polyline(&run, stroke, &line.name),
                }
            }
            for &[at, value] in line.points.iter().filter(|point| up(point[1]).is_none()) {
                let how = Text { color: line.color, ..Text::new(TITLE, Anchor::Middle) };
                let side = if value <= 0.0 { plot.bottom() - 7.0 } else { plot.top + 7.0 };
                if let Some(at) = across(at) {
                    svg.text([at, side], "×", how);
                }
            }
        }
        svg.frame(plot, "#999999");
        svg.close();
    }

    /// The title, and the legend at the right of it, or below where it is wide; their height.
    fn header(&self, svg: &mut Svg, area: Area, [left, right]: [f64; 2]) -> f64 {
        let entries: Vec<(&str, Sample)> = self.samples();
        let wide = |(name, _): &(&str, Sample)| width(name, SMALL) + 38.0;
        let title = fitted(&self.title, TITLE, 0.9 * area.width);
        let room = area.width - left - right;
        let mut rows: Vec<(Vec<&(&str, Sample)>, f64)> =
            vec![(Vec::new(), width(&title, 1.08 * TITLE) + 24.0)];
        for entry in &entries {
            let fits = rows.last().is_some_and(|(row, used)| {
                used + wide(entry) <= room || (row.is_empty() && rows.len() > 1)
            });
            if !fits {
                rows.push((Vec::new(), 0.0));
            }
            if let Some((row, used)) = rows.last_mut() {
                row.push(entry);
                *used += wide(entry);
            }
        }
        let place = [area.left + left, area.top + 0.5 * ROW];
        svg.text(place, &title, Text::new(TITLE, Anchor::Start));
        svg.open("legend", "");
        for (number, (row, _)) in rows.iter().enumerate() {
            let total: f64 = row.iter().map(|entry| wide(entry)).sum();
            let mut at = area.left + left + room - total;
            let middle = area.top + (number as f64 + 0.5) * ROW;
            for entry in row {
                let (name, sample) = entry;
                sample.draw(svg, [at + 10.0, middle]);
                svg.text([at + 34.0, middle], name, Text::new(SMALL, Anchor::Start));
                at += wide(entry);
            }
        }
        svg.close();
        rows.len() as f64 * ROW + 4.0
    }

    fn samples(&self) -> Vec<(&str, Sample)> {
        let stroke = |line: &Line| Stroke { color: line.color, width: 2.0, dashed: line.dashed };
        let lines = self.lines.iter().map(|line| (line.name.as_str(), Sample::Line(stroke(line))));
        // A band lies within those before it.
        let mut seen = 1.0;
        let bands = self.bands.iter().map(|band| {
            seen *= 1.0 - band.opacity;
            (band.name.as_str(), Sample::Band { color: band.color, opacity: 1.0 - seen })
        });
        let mark = self.mark.iter().map(|(_, name)| (name.as_str(), Sample::Line(MARK)));
        lines.chain(bands).chain(mark).filter(|(name, _)| !name.is_empty()).collect()
    }
}

const MARK: Stroke<'_> = Stroke { color: INK, width: 1.2, dashed: true };

/// What stands before a name in the legend.
enum Sample {
    Line(Stroke<'static>),
    Band { color: &'static str, opacity: f64 },
}

impl Sample {
    fn draw(&self, svg: &mut Svg, [x, y]: [f64; 2]) {
        match self {
            Self::Line(stroke) => svg.line([x, y], [x + 20.0, y], *stroke),
            Self::Band { color, opacity } => {
                let corners =
                    [[x, y - 5.0], [x + 20.0, y - 5.0], [x + 20.0, y + 5.0], [x, y + 5.0]];
                svg.polygon(&corners, color, *opacity, "");
            }
        }
    }
}

/// What lies between gaps.
fn runs<T>(places: impl Iterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for place in places {
        match (place, runs.last_mut()) {
            (Some(place), Some(run)) => run.push(place),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The colour of the line with this number.
pub(super) fn color(number: usize) -> &'static str {
    colors::line(number)
}
