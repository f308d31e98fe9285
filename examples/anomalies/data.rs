//! The sensors' rows.

use super::common;
use wgpu_lstm::data::{Sequences, Standardizer, Table};

/// What a sensor measured, scaled by its quiet rows, and in which rows there was an event.
pub struct Mote {
    pub rows: Sequences,
    pub events: Vec<bool>,
}

/// All of them, of which the first `quiet` rows have no event.
pub fn motes(quiet: usize) -> anyhow::Result<Vec<Mote>> {
    let table = Table::from_csv(common::data("sensors/sensors.csv"))?;
    let groups = table.group_by("mote")?;
    println!("{} rows of {} sensors, {quiet} of each to learn from", table.len(), groups.len());
    let mote = |table: &Table| -> anyhow::Result<Mote> {
        let rows = table.series(["humidity", "temperature"])?;
        let rows = Standardizer::fit(&rows.first_frames(quiet)?)?.transform(&rows)?;
        let events = table.numbers(["event"])?.iter().map(|&event| event == 1.0).collect();
        Ok(Mote { rows, events })
    };
    (0..groups.len()).filter_map(|i| groups.get(i)).map(mote).collect()
}
