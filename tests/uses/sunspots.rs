//! Eleven years of sunspots.

#[path = "../../examples/sunspots/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn eleven_years_are_known_better_than_by_the_cycle_before() {
    let scores = super::short("sunspots", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("recursive") < of("the cycle before"), "{scores:?}");
    assert!(of("direct") < 1.1 * of("the cycle before"), "{scores:?}");
    assert!(of("recursive, 1 year ahead") < 18.0, "{scores:?}");
}
