//! Electricity a day ahead.

#[path = "../../examples/load/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn a_day_ahead_is_better_than_the_days_before() {
    let scores = super::short("load", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("mean absolute error, %") < 0.95 * of("error, the week before, %"), "{scores:?}");
    assert!(of("mean absolute error, %") < 0.85 * of("error, the day before, %"), "{scores:?}");
    assert!((65.0..93.0).contains(&of("hours within the 80 % interval, %")), "{scores:?}");
}
