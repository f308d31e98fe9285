//! Orders of many products.

#[path = "../../examples/many_series/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn one_model_knows_all_products() {
    let scores = super::short("many_series", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("quantile loss, % of all orders") < 27.0, "{scores:?}");
    assert!(of("absolute error, % of all orders") < 42.5, "{scores:?}");
    assert!((70.0..92.0).contains(&of("within the 80 % interval, %")), "{scores:?}");
    for distribution in ["negative binomial", "Student's t", "normal"] {
        assert!(of(&format!("loss, {distribution}, %")) < 27.5, "{scores:?}");
        let within = of(&format!("within, {distribution}, %"));
        assert!((70.0..95.0).contains(&within), "{scores:?}");
    }
}
