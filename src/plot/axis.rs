//! The range of an axis, and its ticks.

/// How an axis goes from its least value to its greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Logarithmic where all values are above 0 and the greatest is a hundred times the least.
    Auto,
}

/// An axis with its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Values and their texts.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis for these values, of which those that are not finite do not count, with room for so many ticks.
    /// `margin` is the share that is left free on both sides; `whole`: ticks at whole numbers alone.
    pub(super) fn new(
        values: impl Iterator<Item = f64> + Clone,
        scale: Scale,
        (margin, whole): (f64, bool),
        room: usize,
    ) -> Self {
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            let start = (f64::INFINITY, f64::NEG_INFINITY);
            values.filter(|v| v.is_finite()).fold(start, |(low, high), v| (low.min(v), high.max(v)))
        };
        let (mut low, mut high) = ends(&mut values.clone());
        let log = match scale {
            Scale::Linear => false,
            Scale::Log => high > 0.0,
            Scale::Auto => low > 0.0 && high >= 100.0 * low,
        };
        if log {
            (low, high) = ends(&mut values.filter(|&v| v > 0.0));
            (low, high) = (low.log10(), high.log10());
        }
        if low > high {
            // No value at all.
            (low, high) = (0.0, 1.0);
        }
        let span = match (high - low, log) {
            // Values that are the same.
            (span, _) if span <= 1e-9 * high.abs().max(low.abs()) => {
                let around = match (log, whole) {
                    (true, _) => 0.5,
                    (false, true) => 0.5,
                    (false, false) if high == 0.0 => 1.0,
                    (false, false) => 0.1 * high.abs(),
                };
                (low, high) = (low - around, high + around);
                0.0
            }
            (span, _) => span,
        };
        (low, high) = (low - margin * span, high + margin * span);
        let ticks = match log {
            true => logarithmic(low, high, room),
            false => linear(low, high, room, whole),
        };
        Self { low, high, log, ticks }
    }

    /// Where a value lies, from 0 to 1; `None` where the axis has no place for it.
    pub(super) fn share(&self, value: f64) -> Option<f64> {
        let value = if self.log { value.log10() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        share.is_finite().then_some(share)
    }
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten: two or more, unless whole numbers are too far apart.
fn linear(low: f64, high: f64, room: usize, whole: bool) -> Vec<(f64, String)> {
    let room = room.max(2) as f64;
    let least = (high - low) / room;
    let power = 10f64.powf(least.log10().floor());
    let steps = [0.2, 0.5, 1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    // An end that is a tick but for rounding is one.
    let ends = |step: f64| ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let wide =
        steps.iter().position(|step| *step >= (1.0 - 1e-9) * least).unwrap_or(steps.len() - 1);
    let several = |step: &&f64| ends(**step).1 > ends(**step).0;
    let mut step = *steps[..=wide].iter().rev().find(several).unwrap_or(&steps[wide]);
    if whole {
        step = step.max(1.0).round();
    }
    let (first, last) = ends(step);
    // Of an axis that is too long for its numbers none.
    let count = (last - first + 1.0).clamp(0.0, 4.0 * room) as usize;
    let values: Vec<_> = (0..count).map(|n| (first + n as f64) * step).collect();
    let largest = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    values.iter().map(|&v| (v, number(v, step, largest))).collect()
}

/// A multiple of a step, with as many digits as tell it from its neighbours.
fn number(value: f64, step: f64, largest: f64) -> String {
    // What rounds to 0 is 0.
    let value = if value.abs() < 1e-6 * step { 0.0 } else { value };
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&largest) {
        let digits = (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 12.0) as usize;
        return format!("{value:.digits$e}");
    }
    let digits = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    format!("{value:.digits$}")
}

/// Ticks at powers of ten, at 2 and 5 times these where there are few, or at some of them where there are many.
/// The ends are logarithms.
fn logarithmic(low: f64, high: f64, room: usize) -> Vec<(f64, String)> {
    let room = room.max(2);
    let decades = (low.floor() as i32)..=(high.ceil() as i32);
    let inside = |v: &f64| (low..=high).contains(&v.log10());
    let at = |factors: &[f64]| -> Vec<f64> {
        let all = decades.clone().flat_map(|d| factors.iter().map(move |f| f * 10f64.powi(d)));
        all.filter(inside).collect()
    };
    let powers = at(&[1.0]);
    let more = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0][..], &[1.0, 2.0, 5.0], &[1.0, 3.0]];
    let values = match powers.len() {
        few if few < 3 => {
            let found = more.iter().map(|factors| at(factors)).find(|found| found.len() <= room);
            found.unwrap_or(powers)
        }
        all => {
            let step = all.div_ceil(room) as i32;
            let on_step = |v: &f64| (v.log10().round() as i32).rem_euclid(step) == 0;
            powers.into_iter().filter(on_step).collect()
        }
    };
    if values.len() < 2 {
        // Less than a factor of 2: as on a linear axis.
        return linear(10f64.powf(low), 10f64.powf(high), room, false);
    }
    values.into_iter().map(|v| (v, short(v))).collect()
}

/// A number of one digit.
fn short(value: f64) -> String {
    match (1e-3..1e5).contains(&value) {
        // Without the dust of powers of ten.
        true => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').into(),
        false => format!("{value:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[f64], scale: Scale, whole: bool, room: usize) -> Vec<String> {
        let axis = Axis::new(values.iter().copied(), scale, (0.0, whole), room);
        for (value, text) in &axis.ticks {
            let said: f64 = text.parse().unwrap();
            assert!((said - value).abs() <= 1e-6 * value.abs(), "{text} for {value}");
            assert!((-1e-9..=1.0 + 1e-9).contains(&axis.share(*value).unwrap()), "{text}");
        }
        axis.ticks.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        let linear = |values: &[f64], room| texts(values, Scale::Linear, false, room).join(" ");
        let whole = |values: &[f64], room| texts(values, Scale::Linear, true, room).join(" ");
        assert_eq!(linear(&[0.0, 1.0], 5), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(linear(&[-3.0, 11.0], 4), "0 5 10");
        assert_eq!(linear(&[-1.9, 1.9], 2), "-1 0 1", "not 0 alone");
        assert_eq!(linear(&[0.0, 2e-5], 4), "0 5e-6 1.0e-5 1.5e-5 2.0e-5");
        assert_eq!(linear(&[1e6, 3e6], 4), "1.0e6 1.5e6 2.0e6 2.5e6 3.0e6");
        assert_eq!(whole(&[1.0, 3.0], 9), "1 2 3");
        assert_eq!(whole(&[1.0, 100.0], 10), "10 20 30 40 50 60 70 80 90 100");
        assert_eq!(whole(&[7.0], 9), "7");
        assert_eq!(linear(&[f64::NAN, f64::INFINITY], 2), "0 0.5 1.0");
        for high in [1e-30, 3.7e-8, 0.9, 1.0, 77.0, 1e30] {
            for room in 2..12 {
                let count = linear(&[-0.3 * high, high], room).split(' ').count();
                assert!((2..=room + 1).contains(&count), "{high} {room} {count}");
            }
        }
    }

    #[test]
    fn logarithms_where_the_range_asks_for_them() {
        let auto = |values: &[f64], room| texts(values, Scale::Auto, false, room);
        let log = |values: &[f64], room| texts(values, Scale::Log, false, room).join(" ");
        assert_eq!(auto(&[0.01, 1.0], 6), ["0.01", "0.1", "1"]);
        assert_eq!(auto(&[0.011, 1.0], 6).len(), 5, "linear below a factor of 100");
        assert_eq!(auto(&[1e-9, 1.0], 5), ["1e-8", "1e-6", "1e-4", "0.01", "1"]);
        assert_eq!(auto(&[0.0, 1e9], 5)[0], "0", "0 has no logarithm");
        assert_eq!(log(&[2.0, 30.0], 6), "2 5 10 20");
        assert_eq!(log(&[0.0, -1.0, 1.0, 1000.0], 6), "1 10 100 1000");
        assert_eq!(log(&[1.1, 1.3], 5), "1.10 1.15 1.20 1.25 1.30");
        assert_eq!(log(&[5.0], 5), "2 5 10");
        let axis = Axis::new([1.0, 100.0].into_iter(), Scale::Log, (0.0, false), 5);
        assert_eq!(
            (axis.share(10.0), axis.share(0.0), axis.share(f64::NAN)),
            (Some(0.5), None, None)
        );
    }
}
