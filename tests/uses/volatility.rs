//! How far the price of oil moves.

#[path = "../../examples/volatility/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn how_far_it_moves_is_known() {
    let scores = super::short("volatility", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("CRPS, %") < 1.08 * of("CRPS, linear (HAR), %"), "{scores:?}");
    assert!(of("CRPS, %") < 0.97 * of("CRPS, the week before, %"), "{scores:?}");
    assert!((75.0..98.0).contains(&of("weeks within the 90 % interval, %")), "{scores:?}");
}
