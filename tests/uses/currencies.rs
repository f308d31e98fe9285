//! Currencies a day ahead.

#[path = "../../examples/currencies/main.rs"]
#[allow(dead_code)]
mod program;

/// Where a currency goes it does not know; how far it may go it does.
#[test]
fn intervals_are_better_than_fixed_ones_and_the_median_is_a_random_walk() {
    let scores = super::short("currencies", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("CRPS, basis points") < 0.985 * of("CRPS, fixed volatility"), "{scores:?}");
    assert!((85.0..95.0).contains(&of("days within the 90 % interval, %")), "{scores:?}");
    let ratio = of("mean absolute error, basis points") / of("error, random walk");
    assert!((0.98..1.02).contains(&ratio), "{scores:?}");
}
