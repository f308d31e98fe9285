//! Electricity a day ahead.

#[path = "../../examples/load/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn a_day_ahead_is_better_than_the_day_before() {
    let scores = super::short("load", program::run);
    let of = |name| super::of(&scores, name);
    assert!(of("mean absolute error, %") < 0.8 * of("error, the day before, %"), "{scores:?}");
    assert!(of("mean absolute error, %") < 0.7 * of("error, the week before, %"), "{scores:?}");
    let within = of("hours within the 80 % interval, %");
    assert!((55.0..92.0).contains(&within), "{scores:?}");
}
