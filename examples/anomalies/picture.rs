//! An event, and what was seen of it.

use super::common;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::plot::HeatMap;

/// What was measured, what the forecast missed and whether there was an event, below one another and each from its
/// least to its greatest value, in the rows around the first event. Miss and event are without the first row.
pub fn draw(rows: &Sequences, missed: &[f32], events: &[bool], name: &str) -> anyhow::Result<()> {
    let first = events.iter().position(|&event| event).unwrap_or(0);
    let shown = first.saturating_sub(100)..events.len().min(first + 200);
    let line = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
        let line: Vec<f32> = shown.clone().map(value).collect();
        let least = line.iter().copied().fold(f32::INFINITY, f32::min);
        let most = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        line.iter().map(|value| (value - least) / (most - least)).collect()
    };
    let lines = [
        line(&|i| rows.frame(0, i + 1)[0]),
        line(&|i| rows.frame(0, i + 1)[1]),
        line(&|i| missed[i].ln()),
        line(&|i| f32::from(u8::from(events[i]))),
    ];
    HeatMap::new(&lines.concat(), [4, shown.len()])
        .rows(&["humidity", "temperature", "missed, log", "event"])
        .columns(&shown.map(|i| i.to_string()).collect::<Vec<_>>())
        .plot()?
        .size(900, 260)
        .save(common::picture(name))?;
    Ok(())
}
