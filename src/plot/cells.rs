//! A panel of coloured cells.

use super::axis::{Axis, Scale};
use super::colors::{NONE, hex, is_dark, shade};
use super::svg::{Anchor, Area, INK, Svg, Text, fitted, widest};
use std::collections::BTreeMap;

const SMALL: f64 = 11.0;
/// The longest label, in pixels.
const LONGEST: f64 = 150.0;
/// The least side of a cell, in pixels: smaller ones are drawn as means of neighbours.
const LEAST: f64 = 2.0;

/// A panel of coloured cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    pub(super) title: String,
    pub(super) values: Vec<f32>,
    pub(super) shape: [usize; 2],
    pub(super) rows: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) down: String,
    pub(super) across: String,
    pub(super) range: Option<[f32; 2]>,
    /// Texts in each cell, one below the other.
    pub(super) texts: Vec<[String; 2]>,
}

/// The texts along a side, by the numbers of their cells.
fn along(labels: &[String], count: usize, room: usize) -> Vec<(usize, String)> {
    if labels.is_empty() {
        let numbers = (0..count).map(|n| n as f64);
        let ticks = Axis::new(numbers, Scale::Linear, (0.0, true), room).ticks.into_iter();
        let inside = ticks.filter(|(at, _)| (0.0..count as f64).contains(at));
        return inside.map(|(at, text)| (at as usize, text)).collect();
    }
    let step = count.div_ceil(room.max(1)).max(1);
    let each = labels.iter().enumerate().step_by(step);
    each.map(|(at, label)| (at, fitted(label, SMALL, LONGEST))).collect()
}

impl Cells {
    /// The ends of the colours, and whether they have two sides.
    fn ends(&self) -> ([f64; 2], bool) {
        let finite = self.values.iter().copied().filter(|v| v.is_finite()).map(f64::from);
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = match self.range {
            Some([low, high]) => (low.into(), high.into()),
            None => finite.fold(start, |(low, high), v| (low.min(v), high.max(v))),
        };
        match low < 0.0 {
            _ if low > high => ([0.0, 1.0], false),
            true => ([-low.abs().max(high.abs()), low.abs().max(high.abs())], true),
            false if low == high => ([low, low + low.abs().max(1.0)], false),
            false => ([low, high], false),
        }
    }

    fn share(&self, value: f64, ([low, high], both): ([f64; 2], bool)) -> f64 {
        match both {
            true => (value / high).clamp(-1.0, 1.0),
            false => ((value - low) / (high - low)).clamp(0.0, 1.0),
        }
    }

    /// The pixels that the labels of the rows need, and the bar of colours.
    pub(super) fn margins(&self, height: f64) -> [f64; 2] {
        let labels = along(&self.rows, self.shape[0], (height / 15.0) as usize);
        let name = if self.down.is_empty() { 0.0 } else { 20.0 };
        let bar = self.bar(self.ends(), height);
        [
            widest(labels.iter().map(|(_, text)| text), SMALL) + 14.0 + name,
            widest(bar.iter().map(|(_, text)| text), SMALL) + 34.0,
        ]
    }

    pub(super) fn draw(&self, svg: &mut Svg, area: Area, [left, right]: [f64; 2]) {
        svg.open("panel", &self.title);
        let [rows, columns] = self.shape;
        let ends = self.ends();
        let bar = self.bar(ends, area.height);
        let header = if self.title.is_empty() { 4.0 } else { 24.0 };
        let plot_width = (area.width - left - right).max(1.0);
        let cell = plot_width / columns as f64;
        let widest = widest(self.columns.iter(), SMALL).min(LONGEST);
        let turned = widest + 8.0 > cell && !self.columns.is_empty();
        let labels_height = if turned { 0.72 * widest + 16.0 } else { 20.0 };
        let name_height = if self.across.is_empty() { 0.0 } else { 20.0 };
        let plot = Area {
            left: area.left + left,
            top: area.top + header,
            width: plot_width,
            height: (area.height - header - labels_height - name_height - 2.0).max(1.0),
        };
        let title = fitted(&self.title, 13.0, plot_width);
        svg.text([plot.left, area.top + 10.0], &title, Text::new(13.0, Anchor::Start));
        self.draw_cells(svg, plot, ends);
        self.draw_texts(svg, plot, ends);
        svg.open("rows", &self.down);
        let tall = plot.height / rows as f64;
        for (row, text) in along(&self.rows, rows, (plot.height / 15.0) as usize) {
            let middle = plot.top + (row as f64 + 0.5) * tall;
            svg.text([plot.left - 6.0, middle], &text, Text::new(SMALL, Anchor::End));
        }
        svg.close();
        svg.open("columns", &self.across);
        let apart = if turned {
            15.0
        } else if self.columns.is_empty() {
            40.0
        } else {
            1.0
        };
        for (column, text) in along(&self.columns, columns, (plot.width / apart) as usize) {
            let middle = plot.left + (column as f64 + 0.5) * cell;
            match turned {
                true => {
                    let how = Text { turned: -45.0, ..Text::new(SMALL, Anchor::End) };
                    svg.text([middle, plot.bottom() + 10.0], &text, how);
                }
                false => {
                    let how = Text::new(SMALL, Anchor::Middle);
                    svg.text([middle, plot.bottom() + 12.0], &text, how);
                }
            }
        }
        svg.close();
        let middle = plot.left + 0.5 * plot.width;
        let below = plot.bottom() + labels_height + 10.0;
        svg.text([middle, below], &self.across, Text::new(12.0, Anchor::Middle));
        let how = Text { turned: -90.0, ..Text::new(12.0, Anchor::Middle) };
        let beside = [area.left + 10.0, plot.top + 0.5 * plot.height];
        // Turned about its place, a text is centred across as it is upright.
        svg.text(beside, &self.down, how);
        svg.frame(plot, "#999999");
        self.draw_bar(svg, plot, ends, &bar);
        svg.close();
    }

    /// The cells, each colour at once; small ones as means.
    fn draw_cells(&self, svg: &mut Svg, plot: Area, ends: ([f64; 2], bool)) {
        let [rows, columns] = self.shape;
        let (tall, wide) = (plot.height / rows as f64, plot.width / columns as f64);
        let [down, across] = [tall, wide].map(|side| (LEAST / side).ceil().max(1.0) as usize);
        let mut by_color: BTreeMap<Option<[u8; 3]>, Vec<Area>> = BTreeMap::new();
        for row in (0..rows).step_by(down) {
            for column in (0..columns).step_by(across) {
                let (last_row, last_column) =
                    ((row + down).min(rows), (column + across).min(columns));
                let (mut sum, mut count) = (0.0, 0.0);
                for values in
                    (row..last_row).map(|r| &self.values[r * columns..][column..last_column])
                {
                    for &value in values.iter().filter(|value| !value.is_nan()) {
                        sum += f64::from(value);
                        count += 1.0;
                    }
                }
                // 0 / 0 where there is no number.
                let color = shade(rounded(self.share(sum / count, ends)));
                // To whole pixels: what is between two cells belongs to one of them.
                let [top, bottom] = [row, last_row].map(|r| (plot.top + r as f64 * tall).round());
                let [left, right] =
                    [column, last_column].map(|c| (plot.left + c as f64 * wide).round());
                let cell = Area { left, top, width: right - left, height: bottom - top };
                by_color.entry(color).or_default().push(cell);
            }
        }
        svg.open("cells", "");
        for (color, cells) in by_color {
            svg.cells(&color.map_or_else(|| NONE.to_owned(), hex), &cells);
        }
        svg.close();
    }

    /// What stands in the cells, where it fits.
    fn draw_texts(&self, svg: &mut Svg, plot: Area, ends: ([f64; 2], bool)) {
        let [rows, columns] = self.shape;
        let (tall, wide) = (plot.height / rows as f64, plot.width / columns as f64);
        let widest = widest(self.texts.iter().flatten(), SMALL);
        if widest + 4.0 > wide || tall < 14.0 {
            return;
        }
        svg.open("texts", "");
        for (at, texts) in self.texts.iter().enumerate() {
            let middle = plot.left + ((at % columns) as f64 + 0.5) * wide;
            let center = plot.top + ((at / columns) as f64 + 0.5) * tall;
            let value = self.values.get(at).map_or(f64::NAN, |&v| f64::from(v));
            let dark = shade(rounded(self.share(value, ends))).is_some_and(is_dark);
            let color = if dark { "#ffffff" } else { INK };
            let how = Text { color, ..Text::new(SMALL, Anchor::Middle) };
            if tall < 30.0 {
                svg.text([middle, center], &texts[0], how);
            } else {
                svg.text([middle, center - 7.5], &texts[0], Text { size: 12.5, ..how });
                svg.text([middle, center + 7.5], &texts[1], how);
            }
        }
        svg.close();
    }

    /// Values and texts beside the bar of colours.
    fn bar(&self, ([low, high], _): ([f64; 2], bool), height: f64) -> Vec<(f64, String)> {
        let room = ((height - 60.0) / 25.0).clamp(3.0, 6.0) as usize;
        let ticks = Axis::new([low, high].into_iter(), Scale::Linear, (0.0, false), room).ticks;
        let percent = |(value, text): (f64, String)| match self.texts.is_empty() {
            true => (value, text),
            false => (value, format!("{:.0} %", 100.0 * value)),
        };
        ticks.into_iter().map(percent).collect()
    }

    fn draw_bar(&self, svg: &mut Svg, plot: Area, ends: ([f64; 2], bool), ticks: &[(f64, String)]) {
        let bar = Area { left: plot.right() + 12.0, width: 12.0, ..plot };
        let ([low, high], _) = ends;
        let steps = 64.0f64.min(bar.height);
        svg.open("bar", "");
        for step in 0..steps as usize {
            let value = low + (high - low) * (step as f64 + 0.5) / steps;
            let [top, bottom] =
                [step + 1, step].map(|s| (bar.bottom() - bar.height * s as f64 / steps).round());
            if let Some(color) = shade(self.share(value, ends)) {
                svg.cells(&hex(color), &[Area { top, height: bottom - top, ..bar }]);
            }
        }
        svg.frame(bar, "#999999");
        for (value, text) in ticks {
            let at = bar.bottom() - bar.height * (value - low) / (high - low);
            svg.text([bar.right() + 6.0, at], text, Text::new(SMALL, Anchor::Start));
        }
        svg.close();
    }
}

/// To one of 64 steps, so that few colours are named.
fn rounded(share: f64) -> f64 {
    (64.0 * share).round() / 64.0
}
