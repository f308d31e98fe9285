//! Densities of exchange rates.

#[path = "../../examples/density/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn a_mixture_says_more_than_a_normal_distribution() {
    let scores = super::short("density", program::run);
    let of = |name: &str| super::of(&scores, name);
    let mixture = of("log likelihood, mixture of three");
    assert!(mixture > of("log likelihood, fixed volatility") + 0.03, "{scores:?}");
    assert!(mixture > of("log likelihood, normal") - 0.02, "{scores:?}");
    assert!((80.0..97.0).contains(&of("within 90 %, mixture of three, %")), "{scores:?}");
}
