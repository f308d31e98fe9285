//! Orders of many products.

#[path = "../../examples/many_series/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn one_model_of_all_products_is_better_than_their_last_weeks() {
    let scores = super::short("many_series", program::run);
    let of = |name| super::of(&scores, name);
    assert!(of("quantile loss, % of all orders") < of("loss, quantiles of 8 weeks, %"), "{scores:?}");
    assert!(of("absolute error, % of all orders") < of("error, last week, %"), "{scores:?}");
    assert!((60.0..95.0).contains(&of("within the 80 % interval, %")), "{scores:?}");
}
