//! A picture, and where it goes.

use super::cells::Cells;
use super::lines::Lines;
use super::svg::{Anchor, Area, Svg, Text, fitted, png};
use crate::{Error, Result};
use std::path::Path;

/// A picture, which is drawn when it is saved.
///
/// ```
/// use wgpu_lstm::plot::Forecast;
/// let picture = Forecast::new(&[3.0, 4.0]).history(&[1.0, 2.0]).plot()?.title("sales").size(600, 300);
/// assert!(picture.to_svg()?.contains("sales"));
/// assert_eq!(&picture.to_png()?[1..4], b"PNG");
/// let path = std::env::temp_dir().join("wgpu-lstm-doc-picture.png");
/// picture.save(&path)?;
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "`save` writes it"]
pub struct Picture {
    title: String,
    size: [u32; 2],
    panels: Vec<Panel>,
}

#[derive(Debug, Clone)]
pub(super) enum Panel {
    Lines(Lines),
    Cells(Cells),
}

impl Panel {
    /// What is left and right of the plot itself.
    fn margins(&self, height: f64) -> [f64; 2] {
        match self {
            Self::Lines(lines) => lines.margins(height),
            Self::Cells(cells) => cells.margins(height),
        }
    }

    fn draw(&self, svg: &mut Svg, area: Area, margins: [f64; 2]) {
        match self {
            Self::Lines(lines) => lines.draw(svg, area, margins),
            Self::Cells(cells) => cells.draw(svg, area, margins),
        }
    }
}

/// The pixels around all panels, and between them.
const AROUND: f64 = 12.0;
const BETWEEN: f64 = 12.0;

impl Picture {
    pub(super) fn new(panels: Vec<Panel>, size: [u32; 2]) -> Self {
        Self { title: String::new(), size, panels }
    }

    /// Panels of lines over one x axis, below each other, or in two columns where there are many.
    pub(super) fn of_lines(mut panels: Vec<Lines>) -> Self {
        let named = panels.len().saturating_sub(columns(panels.len()));
        panels.iter_mut().take(named).for_each(|panel| panel.x_name.clear());
        let rows = panels.len().div_ceil(columns(panels.len()));
        let height = (60 + 220 * rows.max(1)).clamp(340, 10_000);
        let width = if columns(panels.len()) > 1 { 1200 } else { 900 };
        Self::new(panels.into_iter().map(Panel::Lines).collect(), [width, height as u32])
    }

    /// Sets the title above the picture: none by default.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the size in pixels, each side from 200 to 10,000; by default it goes by what there is to see.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = [width, height];
        self
    }

    /// Writes the picture: as SVG, which stays sharp at any size, to a path that ends in `.svg`, or as PNG to one
    /// that ends in `.png`. An existing file is replaced; missing folders are made.
    ///
    /// # Errors
    /// [`Error::Option`] for another ending and for a size that is none; [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let bytes = match ending.to_ascii_lowercase().as_str() {
            "svg" => self.to_svg()?.into_bytes(),
            "png" => self.to_png()?,
            _ => {
                return Err(Error::Option {
                    option: "Picture::save",
                    found: path.display().to_string(),
                    expected: "a path that ends in .svg or .png".into(),
                });
            }
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written = folder.map_or(Ok(()), std::fs::create_dir_all);
        written.and_then(|()| std::fs::write(path, bytes)).map_err(|error| Error::Io {
            action: "write",
            path: path.display().to_string(),
            error: error.to_string(),
        })
    }

    /// The picture as the text of an SVG.
    ///
    /// # Errors
    /// [`Error::Option`] for a size that is none.
    pub fn to_svg(&self) -> Result<String> {
        let [width, height] = self.size;
        if self.size.iter().any(|side| !(200..=10_000).contains(side)) {
            return Err(Error::Option {
                option: "Picture::size",
                found: format!("{width} x {height}"),
                expected: "200 to 10,000 pixels for each side".into(),
            });
        }
        let mut svg = Svg::new(self.size, &self.title);
        let [width, height] = self.size.map(f64::from);
        let mut top = AROUND;
        if !self.title.is_empty() {
            let how = Text::new(16.0, Anchor::Middle);
            let title = fitted(&self.title, 17.5, width - 2.0 * AROUND);
            svg.text([0.5 * width, top + 10.0], &title, how);
            top += 30.0;
        }
        let columns = self.columns();
        let rows = self.panels.len().div_ceil(columns).max(1);
        let wide = (width - 2.0 * AROUND - BETWEEN * (columns - 1) as f64) / columns as f64;
        let tall = (height - top - AROUND - BETWEEN * (rows - 1) as f64) / rows as f64;
        for column in 0..columns {
            let own = || self.panels.iter().enumerate().filter(|(at, _)| at % columns == column);
            // The plots of a column have one axis.
            let margins = own().map(|(_, panel)| panel.margins(tall));
            let margins = margins.fold([0.0; 2], |[a, b]: [f64; 2], [c, d]| [a.max(c), b.max(d)]);
            for (at, panel) in own() {
                let area = Area {
                    left: AROUND + column as f64 * (wide + BETWEEN),
                    top: top + (at / columns) as f64 * (tall + BETWEEN),
                    width: wide,
                    height: tall,
                };
                panel.draw(&mut svg, area, margins);
            }
        }
        Ok(svg.finish())
    }

    /// The picture as the bytes of a PNG.
    ///
    /// # Errors
    /// [`Error::Option`] for a size that is none; [`Error::OutOfMemory`].
    pub fn to_png(&self) -> Result<Vec<u8>> {
        png(&self.to_svg()?, self.size)
    }

    fn columns(&self) -> usize {
        match self.panels.first() {
            Some(Panel::Lines(_)) => columns(self.panels.len()),
            _ => 1,
        }
    }
}

/// The columns of so many panels of lines.
fn columns(panels: usize) -> usize {
    if panels > 4 { 2 } else { 1 }
}
