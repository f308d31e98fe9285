//! Orders of many products.

#[path = "../../examples/many_series/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn one_model_knows_all_products() {
    let scores = super::short("many_series", program::run);
    let of = |name| super::of(&scores, name);
    assert!(of("quantile loss, % of all orders") < 26.0, "{scores:?}");
    assert!(of("absolute error, % of all orders") < 40.5, "{scores:?}");
    assert!((70.0..92.0).contains(&of("within the 80 % interval, %")), "{scores:?}");
}
