//! Which strategy is the fastest where: what `cargo xtask strategies` measured.

use super::{Phase, Strategy, Task};
use std::sync::OnceLock;

/// `class,pass,batch,hidden_size,strategies`, the fastest first.
const TABLE: &str = include_str!("strategies.csv");

struct Row {
    software: bool,
    phase: Phase,
    batch: f32,
    hidden_size: f32,
    order: Vec<Strategy>,
}

/// A line of the table, unless it is empty, a comment, or wrong, which a test would see.
fn parse(line: &str) -> Option<Row> {
    let mut words = line.split(',').map(str::trim);
    let mut next = || words.next();
    let software = match next()? {
        "software" => true,
        "hardware" => false,
        _ => return None,
    };
    let phase = match next()? {
        "forward" => Phase::Forward,
        "backward" => Phase::Backward,
        _ => return None,
    };
    let (batch, hidden_size) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let strategy = |name: &str| match name {
        "sequence" => Some(Strategy::Sequence),
        "persistent" => Some(Strategy::Persistent),
        "stepwise" => Some(Strategy::Stepwise),
        _ => None,
    };
    let order = next()?.split(' ').map(strategy).collect::<Option<_>>()?;
    Some(Row { software, phase, batch, hidden_size, order })
}

/// What `Auto` tries for a task, the first that can run it; `Stepwise` always can.
pub(super) fn order(software: bool, task: Task) -> &'static [Strategy] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| TABLE.lines().filter_map(parse).collect());
    let (batch, hidden_size) = ((task.lanes * task.batch) as f32, task.hidden_size as f32);
    // The nearest shape that was measured: as near as it is in doublings.
    let apart = |row: &&Row| {
        (batch / row.batch).log2().abs() + (hidden_size / row.hidden_size).log2().abs()
    };
    rows.iter()
        .filter(|row| row.software == software && row.phase == task.phase)
        .min_by(|a, b| apart(a).total_cmp(&apart(b)))
        .map_or(&[], |row| &row.order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_something_of_every_class_and_pass() {
        let lines =
            TABLE.lines().filter(|line| !line.starts_with('#') && !line.starts_with("class"));
        let mut seen = [[0; 2]; 2];
        for line in lines {
            let row = parse(line).unwrap_or_else(|| panic!("{line:?}"));
            assert!(row.batch >= 1.0 && row.hidden_size >= 1.0, "{line:?}");
            let mut order = row.order.clone();
            order.sort_by_key(|s| s.name());
            order.dedup();
            assert!(
                order.len() == row.order.len() && order.contains(&Strategy::Stepwise),
                "{line:?}"
            );
            seen[usize::from(row.software)][usize::from(row.phase == Phase::Backward)] += 1;
        }
        assert!(seen.iter().flatten().all(|&rows| rows > 0), "{seen:?}");
    }

    #[test]
    fn the_nearest_shape_decides() {
        let task = |phase, batch, hidden_size| {
            let (variant, ragged, half, save, lanes) = (false, false, false, true, 1);
            Task { phase, variant, ragged, half, save, lanes, batch, timesteps: 64, hidden_size }
        };
        for row in TABLE.lines().filter_map(parse) {
            let (batch, hidden_size) = (row.batch as usize, row.hidden_size as usize);
            assert_eq!(order(row.software, task(row.phase, batch, hidden_size)), row.order);
        }
        // Far from all of them there is an answer, too.
        assert!(!order(true, task(Phase::Forward, 100_000, 1)).is_empty());
        assert!(!order(false, task(Phase::Backward, 1, 100_000)).is_empty());
    }
}
