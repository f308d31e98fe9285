//! Which strategy is the fastest where: what `cargo xtask strategies` measured, or else a model said.

use super::{Phase, Strategy, Task};
use crate::device::class::Class;
use std::sync::OnceLock;

/// `class,pass,batch,hidden_size,strategies,ms`, the fastest first.
const TABLE: &str = include_str!("strategies.csv");

struct Row {
    class: Class,
    phase: Phase,
    batch: f32,
    hidden_size: f32,
    order: Vec<Strategy>,
}

/// A line of the table, unless it is empty, a comment, or wrong, which a test would see.
fn parse(line: &str) -> Option<Row> {
    let mut words = line.split(',').map(str::trim);
    let mut next = || words.next();
    let name = next()?;
    let class = Class::ALL.into_iter().find(|class| class.name() == name)?;
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
    Some(Row { class, phase, batch, hidden_size, order })
}

/// What `Auto` tries for a task, the first that can run it; `Stepwise` always can.
pub(super) fn order(class: Class, task: Task) -> &'static [Strategy] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| TABLE.lines().filter_map(parse).collect());
    let (batch, hidden_size) = ((task.lanes * task.batch) as f32, task.hidden_size as f32);
    // The nearest shape that was measured: as near as it is in doublings.
    let apart = |row: &&Row| {
        (batch / row.batch).log2().abs() + (hidden_size / row.hidden_size).log2().abs()
    };
    rows.iter()
        .filter(|row| row.class == class && row.phase == task.phase)
        .min_by(|a, b| apart(a).total_cmp(&apart(b)))
        .map_or(&[], |row| &row.order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> impl Iterator<Item = &'static str> {
        TABLE.lines().filter(|line| !line.starts_with('#') && !line.starts_with("class"))
    }

    /// The milliseconds of a line's strategies; none where nobody measured.
    fn measured(line: &str) -> Option<Vec<f64>> {
        let ms = line.split(',').nth(5)?;
        (!ms.is_empty()).then(|| ms.split(' ').map(|ms| ms.parse().unwrap()).collect())
    }

    fn task(phase: Phase, batch: usize, hidden_size: usize) -> Task {
        let (variant, ragged, half, save, fused, lanes) = (false, false, false, true, false, 1);
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps: 64, hidden_size }
    }

    #[test]
    fn every_line_says_something_of_every_class_and_pass() {
        let mut seen = vec![];
        for line in lines() {
            let row = parse(line).unwrap_or_else(|| panic!("{line:?}"));
            assert!(row.batch >= 1.0 && row.hidden_size >= 1.0, "{line:?}");
            let mut order = row.order.clone();
            order.sort_by_key(|s| s.name());
            order.dedup();
            assert!(
                order.len() == row.order.len() && order.contains(&Strategy::Stepwise),
                "{line:?}"
            );
            assert!(measured(line).is_none_or(|ms| ms.len() == order.len()), "{line:?}");
            let shape = (row.class, row.phase, row.batch as usize, row.hidden_size as usize);
            assert!(!seen.contains(&shape), "twice: {line:?}");
            seen.push(shape);
        }
        for class in Class::ALL {
            for phase in [Phase::Forward, Phase::Backward] {
                assert!(seen.iter().any(|shape| (shape.0, shape.1) == (class, phase)), "{class:?}");
            }
        }
    }

    #[test]
    fn the_nearest_shape_decides() {
        for row in lines().filter_map(parse) {
            let (batch, hidden_size) = (row.batch as usize, row.hidden_size as usize);
            assert_eq!(order(row.class, task(row.phase, batch, hidden_size)), row.order);
        }
        // Far from all of them there is an answer, too.
        for class in Class::ALL {
            assert!(!order(class, task(Phase::Forward, 100_000, 1)).is_empty());
            assert!(!order(class, task(Phase::Backward, 1, 100_000)).is_empty());
        }
    }

    /// Where it was measured, what `Auto` takes is at most a tenth behind the best: forward, and in both
    /// passes of a training, which may go by different strategies.
    #[test]
    fn auto_is_never_far_behind_the_best() {
        let rows: Vec<_> =
            lines().filter_map(|line| Some((parse(line)?, measured(line)?))).collect();
        let mut trainings = 0;
        for (row, ms) in &rows {
            let best = ms.iter().copied().fold(f64::INFINITY, f64::min);
            let shape = (row.class, row.batch, row.hidden_size);
            assert!(ms[0] <= 1.1 * best, "{shape:?} {:?}: {ms:?}", row.phase);
            // A row of the backward pass has the time of both.
            let forward = rows.iter().find(|(other, _)| {
                other.phase == Phase::Forward
                    && (other.class, other.batch, other.hidden_size) == shape
            });
            let Some((forward, forward_ms)) = forward.filter(|_| row.phase == Phase::Backward)
            else {
                continue;
            };
            let same = forward.order.iter().position(|&s| s == row.order[0]).unwrap();
            let took = forward_ms[0] + ms[0] - forward_ms[same];
            assert!(took <= 1.1 * best, "{shape:?}: {took} of {ms:?}");
            trainings += 1;
        }
        assert!(trainings >= 30, "{trainings}");
    }
}
